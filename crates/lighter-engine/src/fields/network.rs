//! `NetworkingConfig`: what is asked of a container's endpoints. What can be done depends on the network.

use super::{Decision, Field, daemon, ignored, inside, runs};
use lighter_domain::{Container, EndpointConfig};

/// Clients send back what `inspect` gave them.
const ANSWER: &str = "an answer's field: what the endpoint got, not what is asked";

pub(super) const FIELDS: &[Field] = &[
    daemon("NetworkingConfig.EndpointsConfig", "--network"),
    daemon("NetworkingConfig.EndpointsConfig.IPAMConfig", "--ip --ip6")
        .parts(&["IPv4Address", "IPv6Address"])
        .remark("on networks that you made, as with dockerd"),
    runs("NetworkingConfig.EndpointsConfig.IPAMConfig.LinkLocalIPs", "--link-local-ip", |c| {
        any(c, |e| !e.link_local_ips.is_empty())
    })
    .stated(Decision::Warned("interfaces have no further addresses")),
    runs("NetworkingConfig.EndpointsConfig.Links", "--link", |c| any(c, |e| !e.links.is_empty())),
    runs("NetworkingConfig.EndpointsConfig.MacAddress", "--mac-address", |c| any(c, |e| e.mac_address.is_some())),
    inside("NetworkingConfig.EndpointsConfig.Aliases", "--network-alias").remark("on networks that you made, as with dockerd"),
    runs("NetworkingConfig.EndpointsConfig.DriverOpts", "--network driver-opt=", |c| any(c, |e| !e.driver_opts.is_empty()))
        .stated(Decision::Warned("only the interface's name and sysctls can be set")),
    runs("NetworkingConfig.EndpointsConfig.GwPriority", "--network gw-priority=", |c| any(c, |e| e.gw_priority != 0)),
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
