//! The one list of what is answered and how: every operation of the API, by its id in Docker's own description. The record's
//! `kind` and the README's table come from it.

use crate::call::{Answer, Call};
use crate::handlers::{containers, exec, files, images, networks, registries, streams, system, volumes};
use http::Method;
use std::pin::Pin;

/// A handler, as the table holds it.
pub type Handler = fn(Call) -> Pin<Box<dyn Future<Output = Answer> + Send>>;

/// How an operation is answered.
pub enum Kind {
    /// Changes nothing; recorded behind the answer.
    Read(Handler),
    /// Changes something: recorded durably before the answer, and carried through even if the client goes away.
    Change(Handler),
    /// Takes the connection over.
    Hijack(Handler),
    /// 501, naming this feature.
    Missing(&'static str),
    /// 503: not a swarm manager.
    Swarm,
}

/// What a route's parameter names, for the record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    None,
    Container,
    Exec,
    Image,
}

pub struct Route {
    pub method: Method,
    /// `{name}`: one segment; `{name*}`: one or more.
    pub pattern: &'static str,
    /// The operation's id.
    pub operation: &'static str,
    pub kind: Kind,
    pub subject: Subject,
}

impl Route {
    /// For the README's table.
    pub fn status(&self) -> String {
        match self.kind {
            Kind::Read(_) | Kind::Change(_) | Kind::Hijack(_) => "yes".to_owned(),
            Kind::Missing(feature) => format!("501: {feature}"),
            Kind::Swarm => "503: not a swarm manager".to_owned(),
        }
    }
}

macro_rules! routes {
    ($( $method:ident $pattern:literal $operation:ident $subject:ident $kind:ident($($what:tt)*) )*) => {
        &[ $( Route {
            method: Method::$method,
            pattern: $pattern,
            operation: stringify!($operation),
            kind: routes!(@kind $kind $($what)*),
            subject: Subject::$subject,
        } ),* ]
    };
    (@kind Missing $feature:literal) => { Kind::Missing($feature) };
    (@kind Swarm) => { Kind::Swarm };
    (@kind $kind:ident $handler:path) => { Kind::$kind(|call| Box::pin($handler(call))) };
}
pub(crate) use routes;

/// All routes of Docker's API. Of two that match, the first counts.
#[rustfmt::skip]
pub static ROUTES: &[Route] = routes! {
    GET    "/_ping"                          SystemPing               None      Read(system::ping)
    HEAD   "/_ping"                          SystemPingHead           None      Read(system::ping)
    GET    "/version"                        SystemVersion            None      Read(system::version)
    GET    "/info"                           SystemInfo               None      Read(system::info)
    GET    "/system/df"                      SystemDataUsage          None      Read(system::data_usage)
    GET    "/events"                         SystemEvents             None      Read(streams::events)
    POST   "/auth"                           SystemAuth               None      Read(registries::log_in)

    GET    "/containers/json"                ContainerList            None      Read(containers::list)
    POST   "/containers/create"              ContainerCreate          None      Change(containers::create)
    POST   "/containers/prune"               ContainerPrune           None      Change(containers::prune)
    GET    "/containers/{id}/json"           ContainerInspect         Container Read(containers::inspect)
    GET    "/containers/{id}/top"            ContainerTop             Container Read(containers::top)
    GET    "/containers/{id}/logs"           ContainerLogs            Container Read(streams::logs)
    GET    "/containers/{id}/changes"        ContainerChanges         Container Read(files::changes)
    GET    "/containers/{id}/export"         ContainerExport          Container Read(files::export)
    GET    "/containers/{id}/stats"          ContainerStats           Container Read(streams::stats)
    POST   "/containers/{id}/resize"         ContainerResize          Container Change(containers::resize)
    POST   "/containers/{id}/start"          ContainerStart           Container Change(containers::start)
    POST   "/containers/{id}/stop"           ContainerStop            Container Change(containers::stop)
    POST   "/containers/{id}/restart"        ContainerRestart         Container Change(containers::restart)
    POST   "/containers/{id}/kill"           ContainerKill            Container Change(containers::kill)
    POST   "/containers/{id}/update"         ContainerUpdate          Container Change(containers::update)
    POST   "/containers/{id}/rename"         ContainerRename          Container Change(containers::rename)
    POST   "/containers/{id}/pause"          ContainerPause           Container Change(containers::pause)
    POST   "/containers/{id}/unpause"        ContainerUnpause         Container Change(containers::unpause)
    POST   "/containers/{id}/attach"         ContainerAttach          Container Hijack(streams::attach)
    GET    "/containers/{id}/attach/ws"      ContainerAttachWebsocket Container Hijack(streams::attach_websocket)
    POST   "/containers/{id}/wait"           ContainerWait            Container Read(streams::wait)
    DELETE "/containers/{id}"                ContainerDelete          Container Change(containers::remove)
    GET    "/containers/{id}/checkpoints"    CheckpointList           Container Read(containers::checkpoints)
    POST   "/containers/{id}/checkpoints"    CheckpointCreate         Container Read(containers::checkpoints)
    DELETE "/containers/{id*}"               CheckpointDelete         None      Read(containers::delete_checkpoint)
    HEAD   "/containers/{id}/archive"        ContainerArchiveInfo     Container Read(files::stat)
    GET    "/containers/{id}/archive"        ContainerArchive         Container Read(files::read)
    PUT    "/containers/{id}/archive"        PutContainerArchive      Container Change(files::write)
    POST   "/containers/{id}/exec"           ContainerExec            Container Change(exec::create)
    POST   "/exec/{id}/start"                ExecStart                Exec      Hijack(streams::exec)
    POST   "/exec/{id}/resize"               ExecResize               Exec      Change(exec::resize)
    GET    "/exec/{id}/json"                 ExecInspect              Exec      Read(exec::inspect)

    GET    "/images/json"                    ImageList                None      Read(images::list)
    POST   "/images/create"                  ImageCreate              None      Change(images::create)
    GET    "/images/search"                  ImageSearch              None      Read(registries::search)
    POST   "/images/prune"                   ImagePrune               None      Change(images::prune)
    GET    "/images/get"                     ImageGetAll              None      Read(images::save_many)
    POST   "/images/load"                    ImageLoad                None      Change(images::load)
    GET    "/images/{name*}/json"            ImageInspect             Image     Read(images::inspect)
    GET    "/images/{name*}/attestations"    ImageAttestations        Image     Read(images::attestations)
    GET    "/images/{name*}/history"         ImageHistory             Image     Read(images::history)
    GET    "/images/{name*}/get"             ImageGet                 Image     Read(images::save_one)
    POST   "/images/{name*}/push"            ImagePush                Image     Change(registries::push)
    POST   "/images/{name*}/tag"             ImageTag                 Image     Change(images::tag)
    DELETE "/images/{name*}"                 ImageDelete              Image     Change(images::remove)
    POST   "/commit"                         ImageCommit              None      Change(files::commit)
    POST   "/build"                          ImageBuild               None      Missing("building images")
    POST   "/build/prune"                    BuildPrune               None      Change(images::prune_build)
    POST   "/build/cancel"                   BuildCancel              None      Missing("building images")
    POST   "/session"                        Session                  None      Missing("build sessions")
    POST   "/grpc"                           Grpc                     None      Missing("build sessions")
    GET    "/distribution/{name*}/json"      DistributionInspect      Image     Read(registries::distribution)

    GET    "/networks"                       NetworkList              None      Read(networks::list)
    POST   "/networks/create"                NetworkCreate            None      Change(networks::create)
    POST   "/networks/prune"                 NetworkPrune             None      Change(networks::prune)
    GET    "/networks/{id}"                  NetworkInspect           None      Read(networks::inspect)
    DELETE "/networks/{id}"                  NetworkDelete            None      Change(networks::remove)
    POST   "/networks/{id}/connect"          NetworkConnect           None      Change(networks::connect)
    POST   "/networks/{id}/disconnect"       NetworkDisconnect        None      Change(networks::disconnect)

    GET    "/volumes"                        VolumeList               None      Read(volumes::list)
    POST   "/volumes/create"                 VolumeCreate             None      Change(volumes::create)
    POST   "/volumes/prune"                  VolumePrune              None      Change(volumes::prune)
    GET    "/volumes/{name}"                 VolumeInspect            None      Read(volumes::inspect)
    PUT    "/volumes/{name}"                 VolumeUpdate             None      Swarm()
    DELETE "/volumes/{name}"                 VolumeDelete             None      Change(volumes::remove)

    GET    "/plugins"                        PluginList               None      Read(system::plugins)
    GET    "/plugins/privileges"             GetPluginPrivileges      None      Missing("plugins")
    POST   "/plugins/pull"                   PluginPull               None      Missing("plugins")
    POST   "/plugins/create"                 PluginCreate             None      Missing("plugins")
    GET    "/plugins/{name*}/json"           PluginInspect            None      Read(system::plugin)
    DELETE "/plugins/{name*}"                PluginDelete             None      Missing("plugins")
    POST   "/plugins/{name*}/enable"         PluginEnable             None      Missing("plugins")
    POST   "/plugins/{name*}/disable"        PluginDisable            None      Missing("plugins")
    POST   "/plugins/{name*}/upgrade"        PluginUpgrade            None      Missing("plugins")
    POST   "/plugins/{name*}/push"           PluginPush               None      Missing("plugins")
    POST   "/plugins/{name*}/set"            PluginSet                None      Missing("plugins")

    GET    "/swarm"                          SwarmInspect             None      Swarm()
    POST   "/swarm/init"                     SwarmInit                None      Missing("swarm mode")
    POST   "/swarm/join"                     SwarmJoin                None      Missing("swarm mode")
    POST   "/swarm/leave"                    SwarmLeave               None      Swarm()
    POST   "/swarm/update"                   SwarmUpdate              None      Swarm()
    GET    "/swarm/unlockkey"                SwarmUnlockkey           None      Swarm()
    POST   "/swarm/unlock"                   SwarmUnlock              None      Swarm()
    GET    "/nodes"                          NodeList                 None      Swarm()
    GET    "/nodes/{id}"                     NodeInspect              None      Swarm()
    DELETE "/nodes/{id}"                     NodeDelete               None      Swarm()
    POST   "/nodes/{id}/update"              NodeUpdate               None      Swarm()
    GET    "/services"                       ServiceList              None      Swarm()
    POST   "/services/create"                ServiceCreate            None      Swarm()
    GET    "/services/{id}"                  ServiceInspect           None      Swarm()
    DELETE "/services/{id}"                  ServiceDelete            None      Swarm()
    POST   "/services/{id}/update"           ServiceUpdate            None      Swarm()
    GET    "/services/{id}/logs"             ServiceLogs              None      Swarm()
    GET    "/tasks"                          TaskList                 None      Swarm()
    GET    "/tasks/{id}"                     TaskInspect              None      Swarm()
    GET    "/tasks/{id}/logs"                TaskLogs                 None      Swarm()
    GET    "/secrets"                        SecretList               None      Swarm()
    POST   "/secrets/create"                 SecretCreate             None      Swarm()
    GET    "/secrets/{id}"                   SecretInspect            None      Swarm()
    DELETE "/secrets/{id}"                   SecretDelete             None      Swarm()
    POST   "/secrets/{id}/update"            SecretUpdate             None      Swarm()
    GET    "/configs"                        ConfigList               None      Swarm()
    POST   "/configs/create"                 ConfigCreate             None      Swarm()
    GET    "/configs/{id}"                   ConfigInspect            None      Swarm()
    DELETE "/configs/{id}"                   ConfigDelete             None      Swarm()
    POST   "/configs/{id}/update"            ConfigUpdate             None      Swarm()
};
