//! The document of `/lighter/v1` says what is served: its routes, its parameters, and the form of each answer.

use crate::support::{Api, Reply};
use jsonschema::Validator;
use lighter_api::lighter::ROUTES;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The document, and validators made from it.
pub struct Document {
    value: Value,
    /// Operations whose good answers were seen.
    seen: BTreeSet<String>,
}

impl Document {
    pub fn of(api: &Api) -> Self {
        let reply = api.get("/lighter/v1/openapi.json");
        assert_eq!(reply.status, 200);
        Self { value: reply.json(), seen: BTreeSet::new() }
    }

    /// Operation id -> (method, path), in the document's words.
    fn operations(&self) -> BTreeMap<String, (String, String)> {
        let paths = self.value["paths"].as_object().unwrap();
        let of = |path: &str, methods: &Value| -> Vec<_> {
            let one = |(method, operation): (&String, &Value)| {
                (operation["operationId"].as_str().unwrap().to_owned(), (method.to_uppercase(), path.to_owned()))
            };
            methods.as_object().unwrap().iter().map(one).collect()
        };
        paths.iter().flat_map(|(path, methods)| of(path, methods)).collect()
    }

    fn operation(&self, id: &str) -> &Value {
        let (method, path) = &self.operations()[id];
        &self.value["paths"][path][method.to_lowercase()]
    }

    /// Fails unless the answer is one of those that the document promises for this operation.
    #[track_caller]
    pub fn check(&mut self, id: &str, reply: &Reply) {
        let status = reply.status.to_string();
        let kind = reply.header("content-type").unwrap_or_default().split(';').next().unwrap().to_owned();
        let promised = &self.operation(id)["responses"][&status];
        assert!(promised.is_object(), "{id} promises no {status}: {}", reply.text());
        if reply.status != 204 {
            let schema = &promised["content"][&kind]["schema"];
            assert!(schema.is_object(), "{id} promises no {kind} under {status}");
            match kind.as_str() {
                "application/json" => self.validate(schema, &reply.json()),
                "application/jsonl" => {
                    reply.text().lines().for_each(|line| self.validate(schema, &serde_json::from_str(line).unwrap()));
                }
                _ => {}
            }
        }
        if reply.status < 300 {
            self.seen.insert(id.to_owned());
        }
    }

    #[track_caller]
    pub fn validate(&self, schema: &Value, value: &Value) {
        let mut root = schema.clone();
        root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
        root["components"] = self.value["components"].clone();
        let validator: Validator = jsonschema::options().should_validate_formats(true).build(&root).unwrap();
        let wrong: Vec<String> = validator.iter_errors(value).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(wrong.is_empty(), "{}\nin {value:#}", wrong.join("\n"));
    }

    /// Fails unless a good answer of every operation was checked.
    pub fn all_seen(&self) {
        let all: BTreeSet<String> = self.operations().into_keys().collect();
        assert_eq!(self.seen, all);
    }
}

#[test]
fn the_document_has_every_route_and_no_other() {
    let api = Api::start();
    let documented = Document::of(&api).operations();
    let route = |r: &lighter_api::routes::Route| (r.operation.to_owned(), (r.method.to_string(), r.pattern.replace('*', "")));
    assert_eq!(documented, ROUTES.iter().map(route).collect());
}

#[test]
fn documented_parameters_are_known_and_others_are_refused() {
    let api = Api::start();
    let id = api.create("cc", &json!({"Image": "busybox"}));
    let document = Document::of(&api);
    for (operation, (method, path)) in document.operations() {
        let path = path.replace("{id}", &id);
        let refused = api.send(&method, &format!("{path}?nonsense=1"), "");
        assert_eq!(refused.status, 400, "{operation}");
        assert!(refused.message().starts_with("unknown parameter \"nonsense\""), "{}", refused.message());
        if method != "GET" {
            continue;
        }
        for parameter in document.operation(&operation)["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            // A parameter without a value is as if it were not there.
            let reply = api.get(&format!("{path}?{name}="));
            let unknown = reply.status == 400 && reply.message().starts_with("unknown parameter");
            assert!(parameter["in"] != "query" || !unknown, "{operation}: {name}");
        }
    }
}

#[test]
fn answers_have_the_documented_form() {
    let api = Api::start();
    let mut document = Document::of(&api);
    let labels = json!({"com.docker.compose.project": "shop"});
    let id = api.create(
        "web",
        &json!({"Image": "busybox", "Cmd": ["sleep", "1000"], "Labels": labels, "Env": ["A=b"],
        "HostConfig": {"Memory": 67_108_864, "Binds": ["/tmp:/x"], "PortBindings": {"80/tcp": [{"HostPort": "18080"}]}}}),
    );
    api.post("/containers/web/start", "");
    api.get("/containers/web/json");
    api.post("/containers/nope/start", "");
    let answers = [
        ("LighterOpenApi", "/lighter/v1/openapi.json"),
        ("LighterEvents", "/lighter/v1/events?limit=3"),
        ("LighterEvents", "/lighter/v1/events?limit=0"),
        ("LighterEvents", "/lighter/v1/events?status=odd"),
        ("LighterMappings", "/lighter/v1/mappings"),
        ("LighterExplain", "/lighter/v1/containers/web/explain"),
        ("LighterExplain", "/lighter/v1/containers/nope/explain"),
        ("LighterLogSearch", "/lighter/v1/logs/search?query=x"),
        ("LighterLogSearch", "/lighter/v1/logs/search?level=odd"),
        ("LighterMetrics", "/lighter/v1/metrics?container=web"),
        ("LighterMetrics", "/lighter/v1/metrics?points=1"),
        ("LighterPrometheus", "/lighter/v1/metrics/prometheus"),
        ("LighterPorts", "/lighter/v1/ports"),
        ("LighterStacks", "/lighter/v1/stacks"),
        ("LighterStack", "/lighter/v1/stacks/shop"),
        ("LighterStack", "/lighter/v1/stacks/nope"),
        ("LighterDoctor", "/lighter/v1/doctor"),
        ("LighterGcPlan", "/lighter/v1/gc?keepDuration=0s"),
        ("LighterGcPlan", "/lighter/v1/gc?maxUsedSpace=x"),
        ("LighterStoreCheck", "/lighter/v1/store/check"),
        ("LighterStoreBackup", "/lighter/v1/store/backup"),
    ];
    for (operation, path) in answers {
        let reply = api.get(path);
        assert!(!reply.body.is_empty(), "{path}");
        document.check(operation, &reply);
    }
    document.check("LighterGc", &api.post("/lighter/v1/gc?keepDuration=1000h&maxUsedSpace=1GB", ""));
    document.check("LighterSampleData", &api.post("/lighter/v1/sample-data?containers=2&seed=1", ""));
    let body = json!({"name": "p", "steps": [{"name": "a", "image": "busybox", "commands": ["true"]}]}).to_string();
    let begun = api.post("/lighter/v1/pipelines", &body);
    document.check("LighterPipelineRun", &begun);
    document.check("LighterPipelineRun", &api.post("/lighter/v1/pipelines", "{}"));
    crate::support::eventually("it is over", || api.get("/lighter/v1/pipelines/p").json()["finishedAt"].is_string());
    document.check("LighterPipeline", &api.get("/lighter/v1/pipelines/p"));
    document.check("LighterPipeline", &api.get("/lighter/v1/pipelines/nope"));
    document.check("LighterPipelines", &api.get("/lighter/v1/pipelines"));
    document.check("LighterPipelineCancel", &api.post("/lighter/v1/pipelines/p/cancel", ""));
    document.check("LighterPipelineRerun", &api.post("/lighter/v1/pipelines/p/rerun", ""));
    let long = json!({"name": "q", "steps": [{"name": "a", "image": "busybox", "commands": ["sleep 1000"]}]}).to_string();
    api.post("/lighter/v1/pipelines", &long);
    document.check("LighterPipelineRemove", &api.send("DELETE", "/lighter/v1/pipelines/q", ""));
    document.check("LighterPipelineCancel", &api.post("/lighter/v1/pipelines/q/cancel", ""));
    crate::support::eventually("it can be removed", || {
        let removed = api.send("DELETE", "/lighter/v1/pipelines/q", "");
        document.check("LighterPipelineRemove", &removed);
        removed.status == 204
    });
    document.check("LighterPipelineRemove", &api.send("DELETE", "/lighter/v1/pipelines/q", ""));
    document.check("LighterPipelines", &api.get("/lighter/v1/pipelines?stack=nope"));
    document.all_seen();
    let explained = api.get("/lighter/v1/containers/web/explain").json();
    assert_eq!(explained["id"], json!(id));
}
