// What dockerode users do, once through, on the bare socket and so on
// unversioned paths. Prints "ok" at the end.
"use strict";
const assert = require("assert");
const { PassThrough } = require("stream");
const Docker = require("dockerode");

const mark = process.argv[2];
const docker = new Docker({ socketPath: process.env.DOCKER_HOST.replace("unix://", "") });
const Labels = { "lighter.compat": mark };
const HostConfig = { NetworkMode: "none" };

function text(stream) {
  return new Promise((resolve, reject) => {
    let all = "";
    stream.on("data", (d) => (all += d));
    stream.on("end", () => resolve(all));
    stream.on("error", reject);
  });
}

async function demuxed(stream) {
  const out = new PassThrough();
  const err = new PassThrough();
  docker.modem.demuxStream(stream, out, err);
  stream.on("end", () => { out.end(); err.end(); });
  return Promise.all([text(out), text(err)]);
}

async function run() {
  const out = new PassThrough();
  const err = new PassThrough();
  const [result] = await docker.run("busybox", ["sh", "-c", "echo out; echo err >&2; exit 6"], [out, err], { Tty: false, Labels, HostConfig });
  assert.strictEqual(result.StatusCode, 6);
  assert.strictEqual(String(out.read()), "out\n");
  assert.strictEqual(String(err.read()), "err\n");
}

async function life() {
  const container = await docker.createContainer({ Image: "busybox", Cmd: ["sh", "-c", "echo up; sleep 1000"], name: `${mark}-node`, Labels, HostConfig: { ...HostConfig, Init: true } });
  await container.start();
  await assert.rejects(container.start(), (e) => e.statusCode === 304);
  assert.strictEqual((await container.inspect()).State.Running, true);
  const follow = await container.logs({ follow: true, stdout: true, stderr: true });
  await new Promise((resolve) => follow.once("data", resolve));
  follow.destroy();
  const exec = await container.exec({ Cmd: ["sh", "-c", "cat; echo err >&2; exit 5"], AttachStdin: true, AttachStdout: true, AttachStderr: true });
  const stream = await exec.start({ hijack: true, stdin: true });
  const both = demuxed(stream);
  stream.write("typed\n");
  stream.end();
  assert.deepStrictEqual(await both, ["typed\n", "err\n"]);
  assert.strictEqual((await exec.inspect()).ExitCode, 5);
  const list = await docker.listContainers({ filters: { label: [`lighter.compat=${mark}`] } });
  assert.deepStrictEqual(list.map((c) => c.Id), [container.id]);
  const wait = container.wait();
  await container.stop({ t: 5 });
  assert.strictEqual((await wait).StatusCode, 143);
  await container.remove();
  await assert.rejects(container.inspect(), (e) => e.statusCode === 404 && /No such container/.test(e.json.message));
}

async function attach() {
  const container = await docker.createContainer({ Image: "busybox", Cmd: ["cat"], OpenStdin: true, StdinOnce: true, AttachStdin: true, Labels, HostConfig });
  const stream = await container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
  const both = demuxed(stream);
  await container.start();
  stream.write("typed\n");
  stream.end();
  assert.deepStrictEqual(await both, ["typed\n", ""]);
  assert.strictEqual((await container.wait()).StatusCode, 0);
  await container.remove();
}

async function events() {
  const stream = await docker.getEvents({ filters: { label: [`lighter.compat=${mark}`] } });
  const container = await docker.createContainer({ Image: "busybox", Cmd: ["true"], Labels, HostConfig });
  const first = JSON.parse(String(await new Promise((resolve) => stream.once("data", resolve))));
  assert.strictEqual(first.Action, "create");
  assert.strictEqual(first.Actor.ID, container.id);
  stream.destroy();
  await container.remove();
}

async function images() {
  const image = docker.getImage("busybox");
  const { Id } = await image.inspect();
  assert.ok((await docker.listImages()).some((i) => i.Id === Id));
  assert.strictEqual((await image.history()).length, 2);
  await image.tag({ repo: `compat-${mark}`, tag: "node" });
  const saved = await docker.getImage(`compat-${mark}:node`).get();
  await docker.getImage(`compat-${mark}:node`).remove();
  const answer = await text(await docker.loadImage(saved));
  assert.match(answer, new RegExp(`Loaded image: compat-${mark}:node`));
  await docker.getImage(`compat-${mark}:node`).remove();
}

async function main() {
  assert.strictEqual(String(await docker.ping()), "OK");
  assert.strictEqual((await docker.info()).OSType, "linux");
  for (const step of [run, life, attach, events, images]) await step();
  console.log("ok");
}

main().then(() => process.exit(0), (e) => { console.error(e); process.exit(1); });
