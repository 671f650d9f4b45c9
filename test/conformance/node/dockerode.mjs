/** What a user of dockerode does, against the socket in DOCKER_SOCKET. */
import { PassThrough, Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import Docker from 'dockerode';
import { check } from './check.mjs';

const IMAGE = 'berth.test/busybox:1';
const docker = new Docker({ socketPath: process.env.DOCKER_SOCKET });
const quiet = { Image: IMAGE, HostConfig: { NetworkMode: 'none' } };
const create = (more) => docker.createContainer({ ...quiet, ...more });

async function gone(id) {
  try {
    await docker.getContainer(id).inspect();
    return 'still there';
  } catch (error) {
    return error.statusCode === 404;
  }
}

/** The two streams of a multiplexed one. */
async function demultiplexed(stream) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  docker.modem.demuxStream(stream, stdout, stderr);
  stream.on('end', () => {
    stdout.end();
    stderr.end();
  });
  return Promise.all([text(stdout), text(stderr)]);
}

await check('ping and version', async () => {
  const pong = await docker.ping();
  return pong.toString() === 'OK' && (await docker.version()).ApiVersion === '1.51';
});
await check('info', async () => (await docker.info()).OSType === 'linux');
await check('run with output', async () => {
  const out = new PassThrough();
  const said = text(out);
  const [result] = await docker.run(IMAGE, ['echo', 'hello'], out, { HostConfig: { NetworkMode: 'none', AutoRemove: true } });
  // The attached stream ends `out`: it may be read after the answer to the wait, which comes on another connection.
  return result.StatusCode === 0 && (await said).includes('hello');
});

const box = await create({ name: 'rode', Cmd: ['sleep', '1000'], Labels: { a: 'b' } });
await box.start();
await check('list by label', async () => {
  const found = await docker.listContainers({ filters: { label: ['a=b'] } });
  return found.length === 1 && found[0].Id === box.id && found[0].State === 'running';
});
await check('inspect', async () => (await box.inspect({ size: true })).SizeRw === 0);
await check('exec, demultiplexed, with its code', async () => {
  const exec = await box.exec({
    Cmd: ['sh', '-c', 'echo out; echo err >&2; exit 4'],
    AttachStdout: true,
    AttachStderr: true,
  });
  const [out, err] = await demultiplexed(await exec.start({}));
  const { ExitCode, Running, ProcessConfig } = await exec.inspect();
  return (out === 'out\n' && err === 'err\n' && ExitCode === 4 && !Running && ProcessConfig.entrypoint === 'sh') || { out, err };
});
await check('exec with input by hijack', async () => {
  const exec = await box.exec({ Cmd: ['cat'], AttachStdin: true, AttachStdout: true });
  const stream = await exec.start({ hijack: true, stdin: true });
  const output = demultiplexed(stream);
  stream.write('through the pipe\n');
  stream.end();
  return (await output)[0] === 'through the pipe\n';
});
await check('exec with a terminal, resized', async () => {
  const exec = await box.exec({ Cmd: ['sh', '-c', 'sleep 0.3; busybox stty size'], AttachStdout: true, Tty: true });
  const stream = await exec.start({ hijack: true, Tty: true });
  await exec.resize({ h: 31, w: 99 });
  const said = await text(stream);
  return said.includes('31 99') || said;
});
await check('top', async () => (await box.top()).Processes.length === 1);
await check('stats once', async () => {
  const stats = await box.stats({ stream: false });
  return stats.pids_stats.current === 1 && stats.precpu_stats.system_cpu_usage < stats.cpu_stats.system_cpu_usage;
});
await check('stats streamed', async () => {
  const stream = await box.stats({ stream: true });
  const [chunk] = await new Promise((resolve) => stream.once('data', (c) => resolve([c])));
  stream.destroy();
  return JSON.parse(chunk.toString()).name === '/rode';
});
await check('files in and out, changes, export', async () => {
  const archive = await buffer(await docker.getImage(IMAGE).get());
  await box.putArchive(archive, { path: '/tmp' });
  const out = await buffer(await box.getArchive({ path: '/tmp/manifest.json' }));
  const changes = await box.changes();
  const whole = await buffer(await box.export());
  return (
    out.includes('manifest.json') &&
    changes.some(({ Path, Kind }) => Path === '/tmp/manifest.json' && Kind === 1) &&
    whole.length > 1_000_000
  );
});
await check('commit', async () => {
  const { Id } = await box.commit({ repo: 'berth.test/committed', tag: '1', comment: 'made here' });
  const { Comment, Id: id } = await docker.getImage('berth.test/committed:1').inspect();
  await docker.getImage('berth.test/committed:1').remove();
  return Comment === 'made here' && Id === id;
});
await check('pause and unpause', async () => {
  await box.pause();
  const { State } = await box.inspect();
  await box.unpause();
  return State.Paused;
});
await check('update', async () => {
  await box.update({ Memory: 64 * 1024 * 1024, MemorySwap: 64 * 1024 * 1024 });
  return (await box.inspect()).HostConfig.Memory === 64 * 1024 * 1024;
});
await check('rename', async () => {
  await box.rename({ name: 'rode2' });
  return (await box.inspect()).Name === '/rode2';
});
await check('wait and kill', async () => {
  const ended = box.wait();
  await box.kill();
  return (await ended).StatusCode === 137;
});
await check('restart and stop', async () => {
  await box.restart({ t: 0 });
  await box.stop({ t: 0 });
  return (await box.inspect()).State.ExitCode === 137;
});
await check('remove', async () => {
  await box.remove({ v: true });
  return gone(box.id);
});

await check('attach before the start, input and output', async () => {
  const cat = await create({ Cmd: ['cat'], OpenStdin: true, StdinOnce: true, AttachStdin: true });
  const stream = await cat.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
  const output = demultiplexed(stream);
  await cat.start();
  stream.write('one\n');
  stream.end('two\n');
  const [out] = await output;
  await cat.remove({ force: true });
  return out === 'one\ntwo\n' || out;
});
await check('logs, whole and followed', async () => {
  const talk = await create({ Cmd: ['sh', '-c', 'echo one; echo two >&2; sleep 0.2; echo three'] });
  await talk.start();
  const [out, err] = await demultiplexed(await talk.logs({ follow: true, stdout: true, stderr: true }));
  const whole = await talk.logs({ stdout: true, stderr: false, tail: 1 });
  await talk.remove({ force: true });
  return (out === 'one\nthree\n' && err === 'two\n' && whole.subarray(8).toString() === 'three\n') || { out, err };
});
await check('events', async () => {
  const stream = await docker.getEvents({ since: 0, until: Math.ceil(Date.now() / 1000), filters: { event: ['create'] } });
  const lines = (await text(stream)).trim().split('\n');
  return lines.every((line) => JSON.parse(line).Action === 'create') && lines.length >= 4;
});
await check('errors are told', async () => {
  try {
    await create({ Image: 'nosuch:1', Cmd: ['true'] });
    return 'no error';
  } catch (error) {
    return error.statusCode === 404 && error.reason === 'no such container' ? true : error.statusCode === 404;
  }
});
await check('images: inspect, tag, save, load, history, remove', async () => {
  const image = docker.getImage(IMAGE);
  const { Id } = await image.inspect();
  await image.tag({ repo: 'berth.test/rode', tag: '1' });
  const saved = await buffer(await docker.getImage('berth.test/rode:1').get());
  await docker.getImage('berth.test/rode:1').remove();
  await text(await docker.loadImage(Readable.from([saved])));
  const names = (await docker.listImages()).find((one) => one.Id === Id).RepoTags;
  const history = await image.history();
  await docker.getImage('berth.test/rode:1').remove();
  return names.includes('berth.test/rode:1') && history.length === 1;
});
await check('volumes', async () => {
  const volume = await docker.createVolume({ Name: 'rode-volume', Labels: { a: 'b' } });
  const { Labels } = await volume.inspect();
  const { Volumes } = await docker.listVolumes({ filters: { label: ['a=b'] } });
  await volume.remove();
  return Labels.a === 'b' && Volumes.length === 1;
});
await check('networks', async () => (await docker.listNetworks()).some((one) => one.Name === 'none'));
await check('df and prunes', async () => {
  await create({ name: 'left', Cmd: ['true'] });
  const { Containers, Images } = await docker.df();
  const { ContainersDeleted } = await docker.pruneContainers();
  const { SpaceReclaimed } = await docker.pruneImages();
  await docker.pruneVolumes();
  await docker.pruneNetworks();
  return Containers.length === 1 && Images.length >= 1 && ContainersDeleted.length === 1 && SpaceReclaimed === 0;
});
