/** pause and unpause: the processes stand still, what dockerd refuses is refused, and a daemon's end changes nothing. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { eventually } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
const none = ['--network', 'none'];
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

const COUNT = 'i=0; while true; do i=$((i+1)); echo $i > /count; done';
const start = (name: string, ...more: string[]) => d.must(['run', '-d', '--name', name, ...none, ...more]);
const status = (name: string) => d.must(['inspect', '-f', '{{.State.Status}} {{.State.Paused}}', name]);
const pidOf = async (name: string) => Number(await d.must(['inspect', '-f', '{{.State.Pid}}', name]));

/** Processor time of a process, in clock ticks. */
async function ticks(pid: number): Promise<number> {
  const fields = (await Bun.file(`/proc/${pid}/stat`).text()).split(') ')[1]?.split(' ') ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

test('a paused container stands still, and says so', async () => {
  await start('still', IMG, 'sh', '-c', COUNT);
  const pid = await pidOf('still');
  await eventually('it works', async () => (await ticks(pid)) > 5);
  expect(await d.must(['pause', 'still'])).toBe('still');
  expect(await status('still')).toBe('paused true');
  const before = await ticks(pid);
  await Bun.sleep(300);
  expect(await ticks(pid)).toBe(before);
  expect(await d.must(['ps', '--filter', 'status=paused', '--format', '{{.Names}} {{.Status}} {{.State}}'])).toMatch(
    /^still Up .+ \(Paused\) paused$/,
  );
  expect(await d.must(['info', '--format', '{{.ContainersPaused}}'])).toBe('1');
  expect(await d.must(['unpause', 'still'])).toBe('still');
  expect(await status('still')).toBe('running false');
  await eventually('it works again', async () => (await ticks(pid)) > before + 5);
  // The CLI cuts to whole seconds.
  const until = String(Math.ceil(Date.now() / 1000) + 1);
  const actions = await d.must(['events', '--since', '1h', '--until', until, '--filter', 'container=still']);
  expect(actions).toMatch(/container pause .*\n.*container unpause /);
  await d.must(['rm', '-f', 'still']);
}, 60_000);

test('what a paused container cannot do is refused in the words of dockerd', async () => {
  const id = await start('no', IMG, 'sleep', '1000');
  const refused = async (status: number, method: string, target: string, body?: unknown) => {
    const r = await d.request(method, `/v1.47/containers/${target}`, body);
    expect(r.status).toBe(status);
    return JSON.stringify(r.body);
  };
  expect(await refused(500, 'POST', 'no/unpause')).toContain(`Container ${id} is not paused`);
  const made = await d.request('POST', '/v1.47/containers/no/exec', { Cmd: ['true'] });
  await d.must(['pause', 'no']);
  expect(await refused(409, 'POST', 'no/pause')).toContain(`Container ${id} is already paused`);
  expect(await refused(409, 'POST', 'no/exec', { Cmd: ['true'] })).toContain(
    'Container no is paused, unpause the container before exec',
  );
  const exec = Reflect.get(Object(made.body), 'Id') as string;
  const started = await d.request('POST', `/v1.47/exec/${exec}/start`, { Detach: true });
  expect(started.status).toBe(409);
  expect(await refused(409, 'POST', 'no/start')).toContain('cannot start a paused container, try unpause instead');
  expect(await refused(409, 'POST', 'no/attach?stream=1&stdout=1')).toContain(
    'container no is paused, unpause the container before attach',
  );
  expect(await refused(409, 'DELETE', 'no')).toContain('container is paused and must be unpaused first');
  expect(await refused(404, 'POST', 'nosuch/pause')).toContain('No such container: nosuch');
  await d.must(['rm', '-f', 'no']);
  await d.must(['create', '--name', 'never', ...none, IMG, 'true']);
  expect(await refused(409, 'POST', 'never/pause')).toContain('is not running');
  await d.must(['rm', 'never']);
}, 60_000);

test('freeze, then stop, restart, kill, rm -f', async () => {
  const trap = ['sh', '-c', "trap 'exit 7' TERM; echo heeds; while :; do sleep 0.1; done"];
  await start('end', IMG, ...trap);
  // A process without a handler ignores the signal: the first one of a namespace does.
  await eventually('it heeds signals', async () => (await d.must(['logs', 'end'])) === 'heeds');
  await d.must(['pause', 'end']);
  await d.must(['stop', '-t', '10', 'end']);
  // The stop signal was heard: it was not killed.
  expect(await d.must(['inspect', '-f', '{{.State.Status}} {{.State.ExitCode}}', 'end'])).toBe('exited 7');
  await d.must(['start', 'end']);
  await d.must(['pause', 'end']);
  await d.must(['restart', '-t', '10', 'end']);
  expect(await status('end')).toBe('running false');
  await d.must(['pause', 'end']);
  await d.must(['kill', 'end']);
  expect(await d.must(['inspect', '-f', '{{.State.Status}} {{.State.ExitCode}}', 'end'])).toBe('exited 137');
  await d.must(['start', 'end']);
  await d.must(['pause', 'end']);
  await d.must(['kill', '-s', 'USR1', 'end']);
  expect(await status('end')).not.toContain('paused');
  await d.must(['rm', '-f', 'end']);
}, 60_000);

test('a daemon that dies leaves a container paused; it is unpaused by the next one', async () => {
  await start('kept', IMG, 'sh', '-c', COUNT);
  await d.must(['pause', 'kept']);
  const pid = await pidOf('kept');
  await d.restart();
  expect(await status('kept')).toBe('paused true');
  const before = await ticks(pid);
  await d.must(['unpause', 'kept']);
  await eventually('it works again', async () => (await ticks(pid)) > before + 2);
  await d.must(['pause', 'kept']);
  await d.restart();
  await d.must(['stop', '-t', '0', 'kept']);
  await d.must(['rm', 'kept']);
}, 60_000);

test('a crash between freezing and telling leaves it running', async () => {
  await start('between', IMG, 'sh', '-c', COUNT);
  const pid = await pidOf('between');
  await d.restart('SIGTERM', { BERTH_FAILPOINTS: 'pause.frozen=kill' });
  await d.docker(['pause', 'between']);
  await d.ended();
  await d.launch({ BERTH_FAILPOINTS: 'pause.frozen=error' });
  expect(await status('between')).toBe('running false');
  // An error after the freezing thaws it again.
  expect((await d.docker(['pause', 'between'])).code).toBe(1);
  const before = await ticks(pid);
  await eventually('it works', async () => (await ticks(pid)) > before + 2);
  expect(await status('between')).toBe('running false');
  await d.must(['rm', '-f', 'between']);
}, 60_000);

test('pauses beside execs: an exec runs through or is refused, and is never caught half-way', async () => {
  await start('busy', IMG, 'sleep', '1000');
  for (let i = 0; i < 10; i++) {
    const exec = d.docker(['exec', 'busy', 'true'], { limitMs: 20_000 });
    await d.must(['pause', 'busy']);
    await d.must(['unpause', 'busy']);
    const { code, stderr } = await exec;
    if (code !== 0) expect(stderr).toMatch(/is paused|received 409/);
  }
  await d.must(['rm', '-f', 'busy']);
}, 60_000);

test('berth pause and unpause', async () => {
  await start('ours', IMG, 'sleep', '1000');
  expect((await d.berth(['pause', 'ours', 'nosuch'])).stdout).toBe('ours\n');
  expect(await status('ours')).toBe('paused true');
  const again = await d.berth(['unpause', 'ours', 'ours']);
  expect(again.code).toBe(1);
  expect(await status('ours')).toBe('running false');
  await d.must(['rm', '-f', 'ours']);
}, 60_000);
