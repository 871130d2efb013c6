//! Bringing functions to what actions ask for.

use crate::ground::{ECHO, artifact, backend, deploy, echoing, result, spec};

#[tokio::test]
async fn an_action_is_deployed_once_and_an_unchanged_one_only_looked_at() {
    let (cloud, artifact) = (echoing().await, artifact());
    let first = backend(&cloud, &artifact);
    let deployment = deploy(&first, spec(ECHO)).await.unwrap();
    for operation in ["CreateFunction", "PublishVersion", "CreateAlias"] {
        assert_eq!(cloud.count(operation), 1, "{operation}: {:#?}", cloud.calls());
    }
    assert_eq!(result(&first, &deployment).await["version"], "1");

    let before = cloud.calls().len();
    let again = backend(&cloud, &artifact);
    let deployment = deploy(&again, spec(ECHO)).await.unwrap();
    let calls = cloud.calls_since(before);
    assert!(!calls.is_empty() && calls.iter().all(|call| call.is_reading()), "{calls:#?}");
    assert_eq!(result(&again, &deployment).await["version"], "1");
}
