use faas_core::action;

#[action(annotations = "team")]
async fn no_list() {}

#[action(annotations(team))]
async fn no_value() {}

#[action(annotations(team = 'b'))]
async fn a_char() {}

#[action(annotations("" = 1))]
async fn no_key() {}

#[action(annotations(big = 18446744073709551616))]
async fn too_big() {}

fn main() {}
