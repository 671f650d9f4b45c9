/** What we lean on of the runtime in front of the kernel: calls, descriptors, streams, threads, the zygote. */
import { expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { call } from '#sys/call.ts';
import { close, fcntl, memfdCreate, pipe2, readAll, write, writeAll } from '#sys/files.ts';
import { CLONE, F, NR, W } from '#sys/numbers.ts';
import { processStat, waitid } from '#sys/processes.ts';
import { Program } from '#sys/program.ts';
import { accept, recvmsg, unixListen } from '#sys/sockets.ts';
import { whenReadable } from '#sys/watch.ts';
import { Launcher } from '#sys/zygote/launch.ts';

const CALLS = 300_000;
const SIGCHLD_TERM_INT_HUP = 0x14003n;

async function until(what: string, condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 10_000; !condition(); await Bun.sleep(5)) {
    if (Date.now() > end) throw new Error(`${what}: not within 10 s`);
  }
}

const gone = (pid: number) => ['Z', 'X', undefined].includes(processStat(pid)?.state);

/** Runs a script of this folder; `value` is the first line it prints. */
async function said(script: string): Promise<{ value: unknown; child: Bun.Subprocess<'ignore', 'pipe', 'inherit'> }> {
  const path = `${import.meta.dir}/${script}/main.ts`;
  const child = Bun.spawn([process.execPath, path], { stdin: 'ignore', stdout: 'pipe' });
  const { value } = await child.stdout.getReader().read();
  return { value: JSON.parse(Buffer.from(value ?? []).toString()), child };
}

test('results and errnos are right while the JIT tiers up and the collector runs', () => {
  const fd = memfdCreate('calls');
  const bytes = new Uint8Array(24);
  let wrong = 0;
  for (let i = 0; i < CALLS; i++) {
    if (call(NR.getpid) !== process.pid) wrong += 1;
    if (call(NR.fcntl, -1, F.GETFD, 0) !== -9) wrong += 1;
    bytes.fill(i & 0xff);
    if (i % 64 === 0) {
      call(NR.pwrite64, fd, bytes, bytes.length, 0);
      const back = new Uint8Array(24);
      if (call(NR.pread64, fd, back, back.length, 0) !== 24 || back[23] !== (i & 0xff)) wrong += 1;
    }
    if (i % 50_000 === 0) Bun.gc(true);
  }
  close(fd);
  expect(wrong).toBe(0);
});

test('a stream of a pipe ends with its last writer and leaves the descriptor to us', async () => {
  const pipe = pipe2();
  writeAll(pipe.write, Buffer.from('all of it'));
  close(pipe.write);
  expect(await new Response(Bun.file(pipe.read).stream()).text()).toBe('all of it');
  expect(fcntl(pipe.read, F.GETFD)).toBe(1);
  close(pipe.read);
});

test('a socket of Bun.connect has its descriptor, and takes a raw message beside its own reads', async () => {
  const path = `${import.meta.dir}/../../build/runtime-${process.pid}.sock`;
  await Bun.write(`${path}.d`, '');
  const listener = unixListen(path);
  const got = Promise.withResolvers<string>();
  const socket = await Bun.connect({ unix: path, socket: { data: (_, bytes) => got.resolve(bytes.toString()) } });
  const { fd } = socket as typeof socket & { fd: number };
  const server = accept(listener) ?? -1;
  expect(write(fd, Buffer.from('raw'))).toBe(3);
  expect(Buffer.from(recvmsg(server, 10)?.bytes ?? []).toString()).toBe('raw');
  write(server, Buffer.from('answer'));
  expect(await got.promise).toBe('answer');
  socket.terminate();
  for (const each of [server, listener]) close(each);
  await Bun.file(`${path}.d`).delete();
  await Bun.file(path).delete();
});

test('signals blocked before execve are blocked in every thread of the runtime after it', async () => {
  const { value, child } = await said('blocked-signals');
  const masks = value as string[]; // what the script prints
  await child.exited;
  expect(masks.length).toBeGreaterThan(1);
  for (const mask of masks) expect(BigInt(`0x${mask}`) & SIGCHLD_TERM_INT_HUP).toBe(SIGCHLD_TERM_INT_HUP);
});

test('executed from a detached read-only mount, the runtime works and its file is not writable by it', async () => {
  const { value, child } = await said('read-only-executable');
  await child.exited;
  expect(value).toBe(true);
});

test('a pidfd is told by the watching Worker', async () => {
  const child = Bun.spawn(['sleep', '0.05']);
  const pidfd = call(NR.pidfd_open, child.pid, 0);
  await whenReadable(pidfd);
  expect(waitid(W.P_PIDFD, pidfd, W.NOHANG | W.NOWAIT) !== undefined || gone(child.pid)).toBe(true);
  close(pidfd);
  await child.exited;
});

test('the zygote is small, names no file of ours, and its children start with clean signals', async () => {
  using launcher = new Launcher();
  const { zygote } = launcher;
  expect(zygote.hasOwnExecutable).toBe(true);
  const status = readFileSync(`/proc/${zygote.pid}/status`, 'utf8');
  expect(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1])).toBeLessThan(64);
  expect(readFileSync(`/proc/${zygote.pid}/maps`, 'utf8').trim().split('\n').length).toBeLessThanOrEqual(3);

  const out = pipe2();
  const program = new Program();
  program.do('stdout', NR.dup3, program.fd(out.write), 1, 0);
  program.do('signal mask', NR.rt_sigprocmask, 2, program.bytes(new Uint8Array(8)), 0, 8);
  program.do(
    'execve',
    NR.execve,
    '/bin/busybox',
    program.argv(['grep', '-E', '^Sig(Blk|Ign|Cgt)', '/proc/self/status']),
    0,
  );
  const child = await launcher.launch(program, CLONE.NEWPID);
  close(out.write);
  expect(await child.outcome).toEqual({ notes: [] });
  const text = Buffer.from(readAll(out.read)).toString();
  expect(text.match(/0{16}/g)?.length).toBe(3);
  waitid(W.P_PIDFD, child.pidfd, 0);
  for (const fd of [out.read, child.pidfd]) close(fd);
});

test('zygote and children at a gate end with the process that made them', async () => {
  const { value, child } = await said('zygote-owner');
  const made = value as { zygote: number; child: number }; // what the script prints
  expect(gone(made.zygote)).toBe(false);
  child.kill('SIGKILL');
  await until('both are gone', () => gone(made.zygote) && gone(made.child));
});

test('a list that does not match its announced length is refused and the zygote goes on', () => {
  using launcher = new Launcher();
  const memfd = memfdCreate('short');
  writeAll(memfd, new Uint8Array(200));
  const { zygote } = launcher;
  for (const length of [201, 5 << 20]) {
    zygote.request(memfd, length);
    expect(zygote.waitAnswer()).toMatchObject({ request: memfd, pid: -90 });
  }
  close(memfd);
});
