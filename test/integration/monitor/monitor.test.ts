import { expect, test } from 'bun:test';
import { readFileSync, readdirSync } from 'node:fs';
import { readRecords } from '#execdriver/native/monitor/exit-records.ts';
import { close, writeAll } from '#sys/files.ts';
import { CLONE, SIG } from '#sys/numbers.ts';
import { kill } from '#sys/processes.ts';
import { failureOf, isGone, openGate, TestDaemon, until, within } from './harness.ts';

/** Among the children of the monitor. */
function zygoteOf(monitor: number): number {
  const children = readFileSync(`/proc/${monitor}/task/${monitor}/children`, 'utf8').trim().split(' ').map(Number);
  const zygote = children.find((pid) => readFileSync(`/proc/${pid}/comm`, 'utf8') === 'berth-zygote\n');
  if (zygote === undefined) throw new Error('the monitor has no zygote');
  return zygote;
}

const text = (fd: number) => new Response(Bun.file(fd).stream()).text();

test('a process runs behind its gate, its output comes by a pipe and its exit is recorded', async () => {
  await using daemon = await new TestDaemon().connect();
  const started = await daemon.start('a', 'read line; echo got $line; exit 3');
  await started.arrived;
  expect(readFileSync(`/proc/${started.pid}/exe`).length).toBeLessThan(200);
  openGate(started.gate);
  expect(await started.outcome).toEqual({ notes: [] });
  writeAll(started.input, Buffer.from('a word\n'));
  expect(await text(started.output)).toBe('got a word\n');
  const exit = await daemon.exitOf('a');
  expect(exit).toMatchObject({ id: 'a', pid: started.pid, code: 3, signal: 0 });
  expect(readRecords(`${daemon.execRoot}/exits`)).toEqual([exit]);
  close(started.input);
});

test('a signal is told as a signal', async () => {
  await using daemon = await new TestDaemon().connect();
  const started = await daemon.run('a', 'sleep 60');
  kill(started.pid, 15);
  expect(await daemon.exitOf('a')).toMatchObject({ code: 0, signal: 15 });
});

test('end of input needs the monitor to let go of its duplicate', async () => {
  await using daemon = await new TestDaemon().connect();
  const started = await daemon.run('a', 'cat; echo end');
  writeAll(started.input, Buffer.from('1\n'));
  close(started.input);
  daemon.client.drop('a', 'stdin');
  expect(await text(started.output)).toBe('1\nend\n');
});

test('an exec is the process of its second clone', async () => {
  await using daemon = await new TestDaemon().connect();
  const started = await daemon.run('a', 'echo $$; exit 7', { second: true });
  expect(await text(started.output)).toBe('1\n');
  const exit = await daemon.exitOf('a');
  expect(exit.code).toBe(7);
  expect(exit.pid).not.toBe(started.pid);
});

test('a program that cannot be executed tells the step, and the child ends', async () => {
  await using daemon = await new TestDaemon().connect();
  const started = await daemon.start('a', 'true', { flags: CLONE.NEWNS });
  await started.arrived;
  started.gate[Symbol.dispose]();
  expect((await started.outcome).failed).toMatchObject({ step: 'exec', errno: 0 });
  expect(await daemon.exitOf('a')).toMatchObject({ code: 111 });
});

test('killing the daemon keeps what runs, ends what waits, and loses neither output nor exit', async () => {
  await using first = await new TestDaemon().connect();
  const line = 'echo before; read x; echo after $x; exit 5';
  const daemon = Bun.spawn([process.execPath, `${import.meta.dir}/killed-daemon/main.ts`, first.execRoot, line], {
    stdout: 'pipe',
  });
  const reader = daemon.stdout.getReader();
  const said = await within('the daemon says its pids', reader.read());
  const pids = JSON.parse(Buffer.from(said.value ?? []).toString()) as { monitor: number; run: number; gated: number };
  expect(pids.monitor).toBe(first.client.pid);
  daemon.kill('SIGKILL');
  await daemon.exited;
  await until('the gated child has ended', () => isGone(pids.gated));
  expect(isGone(pids.run)).toBe(false);

  const again = await new TestDaemon(first.execRoot).connect();
  const listed = again.client.processes.find((p) => p.id === 'run');
  expect(listed).toMatchObject({ pid: pids.run });
  expect(again.client.processes.find((p) => p.id === 'gated')?.exit).toMatchObject({ code: 111 });
  const input = again.client.take('run', 'stdin', listed?.held['stdin'] ?? -1);
  const output = again.client.take('run', 'stdout', listed?.held['stdout'] ?? -1);
  writeAll(input, Buffer.from('word\n'));
  expect(await text(output)).toBe('before\nafter word\n');
  expect(await again.exitOf('run')).toMatchObject({ code: 5 });
  again.client.close();

  const third = await new TestDaemon(first.execRoot).connect();
  expect(third.client.processes.find((p) => p.id === 'run')?.exit).toMatchObject({ code: 5 });
  for (const id of ['run', 'gated']) third.client.forget(id);
  third.client.close();
  await until('the records are forgotten', () => first.client.processes.length === 0);
});

test('the death of the monitor is told, and the exits it recorded are read by the next one', async () => {
  await using daemon = await new TestDaemon().connect();
  const ended = await daemon.run('ended', 'exit 4');
  await daemon.exitOf('ended');
  const left = await daemon.run('left', 'exec sleep 60');
  const zygote = readdirSync(`/proc/${daemon.client.pid}/task`).length;
  expect(zygote).toBeGreaterThan(0);
  kill(daemon.client.pid, 9);
  await within('the end is told', daemon.closed.promise);
  expect(isGone(left.pid)).toBe(false);
  expect(String(await failureOf(daemon.start('late', 'true')))).toContain('gone');
  kill(left.pid, 9);
  await daemon.connect();
  expect(daemon.client.processes).toMatchObject([{ id: 'ended', pid: ended.pid, exit: { code: 4 } }]);
});

test('when the zygote dies, what runs goes on and the next start gets another', async () => {
  await using daemon = await new TestDaemon().connect();
  const running = await daemon.run('running', 'read x; exit 8');
  const before = readdirSync(`/proc/${daemon.client.pid}/fd`).length;
  for (let i = 0; i < 3; i++) {
    const zygote = zygoteOf(daemon.client.pid);
    kill(zygote, 9);
    await until('it has gone', () => isGone(zygote));
    const next = await daemon.run(`next${i}`, 'exit 2');
    expect(await daemon.exitOf(`next${i}`)).toMatchObject({ pid: next.pid, code: 2 });
    daemon.client.forget(`next${i}`);
    for (const fd of [next.output, next.input]) close(fd);
  }
  expect(isGone(running.pid)).toBe(false);
  close(running.input);
  daemon.client.drop('running', 'stdin');
  expect(await daemon.exitOf('running')).toMatchObject({ code: 8 });
  daemon.client.forget('running');
  await until('no descriptor is left', () => readdirSync(`/proc/${daemon.client.pid}/fd`).length <= before);
});

test('a start that a dying zygote never read is asked of the next one', async () => {
  await using daemon = await new TestDaemon().connect();
  const zygote = zygoteOf(daemon.client.pid);
  kill(zygote, SIG.STOP);
  // The signal is only sent yet: a zygote that has not stood still since would read what comes now.
  await until('the zygote stands still', () => / T /.test(readFileSync(`/proc/${zygote}/stat`, 'utf8')));
  const starting = daemon.run('unread', 'exit 2');
  // Also right when the request comes later: then it meets the next zygote at once.
  await Bun.sleep(50);
  kill(zygote, SIG.KILL);
  const started = await starting;
  expect(await daemon.exitOf('unread')).toMatchObject({ pid: started.pid, code: 2 });
  for (const fd of [started.output, started.input]) close(fd);
});

test('orphans that come to the monitor are reaped', async () => {
  await using daemon = await new TestDaemon().connect();
  const started = await daemon.run('a', '(sleep 0.2; exit 9) & echo $!');
  const orphan = Number((await text(started.output)).trim());
  await daemon.exitOf('a');
  await until('the orphan is reaped', () => Bun.file(`/proc/${orphan}/stat`).size === 0 && isGone(orphan));
});

test('the monitor ends when nothing runs and nobody is connected, and not before', async () => {
  await using daemon = await new TestDaemon().connect(300);
  const { pid } = daemon.client;
  const started = await daemon.run('a', 'read x');
  daemon.client.close();
  await Bun.sleep(600);
  expect(isGone(pid)).toBe(false);
  close(started.input);
  await daemon.connect(300);
  expect(daemon.client.pid).toBe(pid);
  daemon.client.drop('a', 'stdin');
  await daemon.exitOf('a');
  daemon.client.close();
  await until('the monitor has ended', () => isGone(pid));
});
