//! Whom containers reach: looked at from inside, on an engine as it is installed, which filters packets, and with a
//! machine beyond it.

use bollard::query_parameters::InspectNetworkOptions;
use faas_backend_docker::Transport;
use faas_core::{ActionSpec, MemoryMib};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::alone::alone_in_network;
use crate::bare::address;
use crate::dockerd::Dockerd;
use crate::outside::{ADDRESS, Outside};
use crate::puppet;
use crate::puppets::{BOX, played};
use crate::site::{Site, ground, ground_on, networks, spec};

/// An action of an image that asks for the whole network, and one of another image's container, which asks for none.
const OPEN: &str = "open";
const OTHER: &str = "other";

/// The memory of the other one.
const OTHERS: i64 = 56;

/// A site of actions that connect, on an engine of its own with a machine beyond it, by this transport.
async fn connecting(test: &str, transport: Transport) -> Option<(Dockerd, Outside, Site)> {
    let engine = Dockerd::start_filtering(test).await?;
    let outside = Outside::start();
    let ground = ground_on(test, Some(engine.host())).await?;
    let image = puppet::image(&ground.docker).await;
    let builder = ground.builder().image(BOX, image).image(OTHER, image).image(OPEN, image);
    let specs = [
        played(BOX, 20_000),
        played(OTHER, 20_000).with_memory(MemoryMib::new(56)),
        played(OPEN, 20_000).with_egress("*"),
        spec("look"),
    ];
    let site = ground.site_on(builder.transport(transport), specs).await;
    Some((engine, outside, site))
}

/// Whether the container of an action, of an image or of ours, connects to an address.
async fn connects(site: &Site, action: &str, address: &str) -> bool {
    let record = site.run(action, json!({ "connect": address })).await;
    let told = record.outcome.result().to_value();
    let refused = ["refused", "error"].iter().find_map(|key| told[*key].as_str());
    let Some(refused) = refused else { return true };
    assert!(refused.contains("timed out") || refused.contains("unreachable"), "{action}: {told}");
    false
}

/// The address of the one container of an action, which is told by its memory.
async fn address_of(site: &Site, action: &str, mib: i64) -> String {
    site.result(action, json!({})).await;
    format!("{}:8080", address(&site.docker, &site.container_of(mib).await).await)
}

#[test]
fn containers_of_other_actions_are_out_of_reach() {
    alone_in_network("networks::containers_of_other_actions_are_out_of_reach", async {
        let Some((_engine, _outside, site)) = connecting("netapart", Transport::Auto).await else { return };
        let other = address_of(&site, OTHER, OTHERS).await;
        // This process reaches it, and the container of another action does not.
        TcpStream::connect(&other).await.unwrap();
        assert!(!connects(&site, BOX, &other).await);
        assert!(!connects(&site, OPEN, &other).await, "from another network");
        site.end(3).await;
    });
}

#[test]
fn only_an_action_that_asks_for_the_network_gets_beyond_the_engines_machine() {
    alone_in_network(
        "networks::only_an_action_that_asks_for_the_network_gets_beyond_the_engines_machine",
        async {
            let Some((_engine, _outside, site)) = connecting("netall", Transport::Auto).await else { return };
            assert!(connects(&site, OPEN, ADDRESS).await);
            assert!(!connects(&site, BOX, ADDRESS).await);
            assert!(!connects(&site, "look", ADDRESS).await);
            site.end(2).await;
        },
    );
}

#[test]
fn a_container_whose_port_is_published_reaches_no_more_than_others() {
    alone_in_network("networks::a_container_whose_port_is_published_reaches_no_more_than_others", async {
        let published = connecting("netpublished", Transport::Published).await;
        let Some((_engine, _outside, site)) = published else { return };
        let other = address_of(&site, OTHER, OTHERS).await;
        TcpStream::connect(&other).await.unwrap();
        for action in [BOX, "look", OPEN] {
            assert!(!connects(&site, action, &other).await, "{action}");
            assert_eq!(connects(&site, action, ADDRESS).await, action == OPEN, "{action}");
        }
        site.end(5).await;
    });
}

/// How the networks of a site are made: what their names end with, whether they are internal, and whether who is in them
/// gets an address that others answer to.
async fn made(site: &Site) -> Vec<(String, bool, bool)> {
    let mut made = Vec::new();
    for name in networks(&site.docker, &site.pool).await {
        let found = site.docker.inspect_network(&name, None::<InspectNetworkOptions>).await.unwrap();
        let options = found.options.unwrap();
        assert_eq!(options["com.docker.network.bridge.enable_icc"], "false", "{name}");
        let masquerades = options.get("com.docker.network.bridge.enable_ip_masquerade");
        let (_, suffix) = name["faas-".len()..].split_at(16);
        made.push((
            suffix.to_owned(),
            found.internal == Some(true),
            masquerades.is_none_or(|on| on == "true"),
        ));
    }
    made.sort();
    made
}

/// Runs an action of an image that asks for nothing, and then the same as one that asks for the network.
async fn run_both(test: &str, transport: Transport) -> Option<Site> {
    let ground = ground(test).await?;
    let image = puppet::image(&ground.docker).await;
    let builder = ground.builder().image(BOX, image).image(OPEN, image).transport(transport);
    let specs: [ActionSpec; 2] = [played(BOX, 20_000), played(OPEN, 20_000).with_egress("*")];
    let site = ground.site_on(builder, specs).await;
    for n in 0..3 {
        for action in [BOX, OPEN] {
            assert_eq!(site.result(action, json!({ "n": n })).await, json!({ "n": n }), "{action}");
        }
    }
    Some(site)
}

/// The addresses and resolvers that containers of a site have, of those that are in a network.
async fn looked_at(site: &Site) -> Vec<(String, Value)> {
    let mut looked_at = Vec::new();
    for container in site.inspected().await {
        let host = container.host_config.unwrap();
        let network = host.network_mode.unwrap_or_default();
        for bound in container.network_settings.unwrap().ports.unwrap().into_values().flatten().flatten() {
            assert_eq!(bound.host_ip.as_deref(), Some("127.0.0.1"), "{network}");
        }
        if network != "none" {
            looked_at.push((network, json!(host.dns.unwrap_or_default())));
        }
    }
    looked_at
}

#[tokio::test]
async fn each_process_has_networks_of_its_own_and_removes_them() {
    let Some(site) = run_both("netlocal", Transport::Auto).await else { return };
    assert_eq!(made(&site).await, [(String::new(), true, true), ("-open".to_owned(), false, true)]);
    for (network, resolvers) in looked_at(&site).await {
        // The engine answers for a resolver that a container has not, and may do so by its own.
        let expected = if network.ends_with("-open") { json!([]) } else { json!(["127.0.0.1"]) };
        assert_eq!(resolvers, expected, "{network}");
    }
    site.end(6).await;
}

#[tokio::test]
async fn containers_are_reached_by_published_ports_where_their_addresses_are_not() {
    let Some(site) = run_both("published", Transport::Published).await else { return };
    assert_eq!(
        made(&site).await,
        [("-open".to_owned(), false, true), ("-published".to_owned(), false, false)]
    );
    for container in site.inspected().await {
        let ports = container.network_settings.unwrap().ports.unwrap();
        assert_eq!(ports.values().flatten().flatten().count(), 1, "{ports:?} {:?}", container.state);
    }
    for (network, resolvers) in looked_at(&site).await {
        let expected = if network.ends_with("-open") { json!([]) } else { json!(["127.0.0.1"]) };
        assert_eq!(resolvers, expected, "{network}");
    }
    site.end(6).await;
}
