//! `NetworkingConfig`: what is asked of a container's endpoints. What can be done depends on the network.

use super::{Decision, Field, daemon, ignored, later, runs};
use lighter_domain::{Container, EndpointConfig};

/// Clients send back what `inspect` gave them.
const ANSWER: &str = "an answer's field: what the endpoint got, not what is asked";

pub(super) const FIELDS: &[Field] = &[
    daemon("NetworkingConfig.EndpointsConfig", "--network"),
    runs("NetworkingConfig.EndpointsConfig.IPAMConfig", "--ip --ip6 --link-local-ip", |c| {
        any(c, |e| e.ipv4_address.is_some() || e.ipv6_address.is_some() || !e.link_local_ips.is_empty())
    })
    .parts(&["IPv4Address", "IPv6Address", "LinkLocalIPs"])
    .stated(Decision::Refused("user specified IP address is supported on user defined networks only")),
    later("NetworkingConfig.EndpointsConfig.Links", "--link", "links", |c| any(c, |e| !e.links.is_empty())),
    runs("NetworkingConfig.EndpointsConfig.MacAddress", "--mac-address", |c| any(c, |e| e.mac_address.is_some()))
        .stated(Decision::Warned("addresses are chosen by the engine")),
    runs("NetworkingConfig.EndpointsConfig.Aliases", "--network-alias", |c| any(c, |e| !e.aliases.is_empty()))
        .stated(Decision::Refused("network-scoped aliases are only supported for user-defined networks")),
    runs("NetworkingConfig.EndpointsConfig.DriverOpts", "--network driver-opt=", |c| any(c, |e| !e.driver_opts.is_empty()))
        .stated(Decision::Warned("the default bridge takes none")),
    runs("NetworkingConfig.EndpointsConfig.GwPriority", "--network gw-priority=", |c| any(c, |e| e.gw_priority != 0))
        .stated(Decision::Warned("there is only one network")),
    ignored("NetworkingConfig.EndpointsConfig.NetworkID", "", ANSWER),
    ignored("NetworkingConfig.EndpointsConfig.EndpointID", "", ANSWER),
    ignored("NetworkingConfig.EndpointsConfig.Gateway", "", ANSWER),
    ignored("NetworkingConfig.EndpointsConfig.IPAddress", "", ANSWER),
    ignored("NetworkingConfig.EndpointsConfig.IPPrefixLen", "", ANSWER),
    ignored("NetworkingConfig.EndpointsConfig.IPv6Gateway", "", ANSWER),
    ignored("NetworkingConfig.EndpointsConfig.GlobalIPv6Address", "", ANSWER),
    ignored("NetworkingConfig.EndpointsConfig.GlobalIPv6PrefixLen", "", ANSWER),
    ignored("NetworkingConfig.EndpointsConfig.DNSNames", "", ANSWER),
];

fn any(container: &Container, is: impl Fn(&EndpointConfig) -> bool) -> bool {
    container.endpoints.values().any(is)
}
