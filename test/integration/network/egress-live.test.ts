/**
 * What changes while connections are open: a policy of a network or a container, ports that are taken back, a network that
 * is left. What may no longer be ends, by true sockets; everything else goes on.
 */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { eventually, must } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { type Inside, scriptInside } from '../../support/inside.ts';
import { Machine } from '../../support/machine.ts';
import { nameServer } from '../../support/name-server.ts';
import { isInside } from './namespace.ts';

const IMG = 'berth.test/busybox:1';
const [FIRST, SECOND, RESOLVER] = ['192.0.2.10', '192.0.2.11', '192.0.2.2'];
const names = { 'first.example': [FIRST], 'other.example': ['192.0.2.12'] };

/** Sends back what it gets. */
const echo = `
  Bun.listen({ hostname: '0.0.0.0', port: 80, socket: { data(s, bytes) { s.write(bytes); } } });
  const u = require('dgram').createSocket('udp4');
  u.on('message', (bytes, from) => u.send(bytes, from.port, from.address));
  u.bind(80, '0.0.0.0', () => console.log('ready'));`;

if (isInside(import.meta.path)) {
  setDefaultTimeout(60_000);
  await must('ip', ['link', 'set', 'lo', 'up']);

  interface Talk extends AsyncDisposable {
    /** An answer to something that was sent after the call. */
    goesOn(): Promise<void>;
    ends(): Promise<void>;
  }

  /** A connection that is kept busy. `pid`: whose network it is opened in. */
  async function talk(pid: number, host: string, port = 80): Promise<Talk> {
    const inside: Inside = await scriptInside(
      pid,
      `const s = require('net').connect(${port}, '${host}', () => {
         console.log('open');
         let n = 0;
         setInterval(() => s.write(++n + ' '), 50);
       });
       s.on('data', (bytes) => console.log('heard'));
       const end = (why) => { console.log('ended ' + why); setTimeout(() => process.exit(), 1e6); };
       s.on('error', (e) => end(e.code));
       s.on('close', () => end('closed'));`,
    );
    const heard = () => inside.output().split('heard').length;
    expect(inside.output()).toStartWith('open');
    return {
      goesOn: async () => {
        // What is under way may still come.
        const before = heard() + 5;
        await eventually(`${host}:${port} answers: ${inside.output().slice(-80)}`, () => heard() > before, 20_000);
        expect(inside.output()).not.toContain('ended');
      },
      ends: async () => {
        await eventually(`the connection to ${host}:${port} ends`, () => inside.output().includes('ended'), 30_000);
      },
      [Symbol.asyncDispose]: () => inside[Symbol.asyncDispose](),
    };
  }

  const berth = async (d: TestDaemon, ...args: string[]): Promise<string> => {
    const r = await d.berth(args);
    if (r.code !== 0) throw new Error(`berth ${args.join(' ')}: ${r.stderr}`);
    return r.stdout.trim();
  };
  const pidOf = async (d: TestDaemon, name: string) => Number(await d.must(['inspect', '-f', '{{.State.Pid}}', name]));
  const answers = async (d: TestDaemon, container: string, host: string): Promise<boolean> =>
    (await d.docker(['exec', container, 'sh', '-c', `echo hello | nc -w 2 ${host} 80`])).stdout === 'hello\n';

  test('the policy of a network changes while containers are on it: what it no longer allows ends, the rest goes on', async () => {
    await using stack = new AsyncDisposableStack();
    const own = [RESOLVER, FIRST, SECOND].map((ip) => `${ip}/24`);
    const machine = stack.use(await Machine.start({ link: 'outside', host: ['192.0.2.1/24'], own }));
    stack.use(await nameServer(machine.pid, names, RESOLVER));
    stack.use(await scriptInside(machine.pid, echo));
    const d = stack.use(await TestDaemon.start({ args: ['--dns', RESOLVER] }));
    await berth(d, 'network', 'create', '--egress-allow', `${FIRST},${SECOND}`, 'net');
    await d.must(['run', '-d', '--name', 'one', '--network', 'net', IMG, 'sleep', '1000']);
    const pid = await pidOf(d, 'one');
    const [a, b] = [stack.use(await talk(pid, FIRST)), stack.use(await talk(pid, SECOND))];
    await a.goesOn();
    await b.goesOn();

    const revision = () =>
      d.request('GET', '/networks/net').then(({ body }) => JSON.stringify(Reflect.get(Object(body), 'Berth')));
    expect(await revision()).toBeUndefined();
    expect(await berth(d, 'network', 'update', '--egress-allow', FIRST, '--label', 'a=b', 'net')).toBe('net');
    await b.ends();
    await a.goesOn();
    expect([await answers(d, 'one', FIRST), await answers(d, 'one', SECOND)]).toEqual([true, false]);
    expect([await revision(), await d.must(['network', 'inspect', '-f', '{{json .Labels}}', 'net'])]).toEqual([
      '{"Revision":1}',
      '{"a":"b"}',
    ]);

    // By a name that has led there it is still allowed; by another it is not.
    await d.must(['network', 'create', 'plain']);
    await berth(d, 'network', 'update', '--egress-allow', 'first.example', 'net');
    await a.ends();
    expect(await answers(d, 'one', 'first.example')).toBe(true);
    const c = stack.use(await talk(pid, FIRST));
    await berth(d, 'network', 'update', '--egress-allow', 'first.example:80,other.example', 'net');
    await c.goesOn();
    // The same of a container's own policy.
    await berth(d, 'update', '--egress-deny', SECOND, 'one');
    await c.goesOn();
    await berth(d, 'network', 'update', '--egress-allow', 'other.example', 'net');
    await c.ends();
    await berth(d, 'network', 'update', '--unset-opt', 'berth.egress.allow', 'net');
    expect([await answers(d, 'one', FIRST), await answers(d, 'one', SECOND)]).toEqual([true, false]);
    await berth(d, 'update', '--unset-label', 'berth.egress.deny', 'one');
    expect(await answers(d, 'one', SECOND)).toBe(true);

    // Killed between the record and the rules: the next daemon puts it in force.
    await d.restart('SIGTERM', { BERTH_FAILPOINTS: 'network-update.recorded=kill' });
    expect((await d.berth(['network', 'update', '--egress', 'deny', 'net'])).code).not.toBe(0);
    expect(await d.ended()).toBe('SIGKILL');
    await d.launch();
    expect([await revision(), await answers(d, 'one', FIRST)]).toEqual(['{"Revision":6}', false]);

    for (const [args, words] of [
      [['--revision', '2', '--egress', 'allow', 'net'], 'it has revision 6 by now, the change was made for 2'],
      [['--opt', 'com.docker.network.bridge.enable_icc=false', 'net'], 'enable_icc" cannot be changed'],
      [['--egress-allow', 'a_b!', 'net'], 'invalid egress entry "a_b!"'],
      [['--egress', 'deny', 'bridge'], 'bridge is a pre-defined network and cannot be updated'],
      [['--egress', 'deny', 'nothing'], 'network nothing not found'],
      [['net'], 'you must provide one or more flags'],
    ] as const) {
      const { code, stderr } = await d.berth(['network', 'update', ...args]);
      expect([args, code, stderr.includes(words) || stderr]).toEqual([args, 1, true]);
    }
    expect(await revision()).toBe('{"Revision":6}');
    await d.must(['rm', '-f', 'one']);
    await d.must(['network', 'rm', 'net', 'plain']);
  });

  test('ports that are taken back and networks that are left take their connections along', async () => {
    await using stack = new AsyncDisposableStack();
    const d = stack.use(await TestDaemon.start());
    await d.must(['network', 'create', 'net']);
    await d.must(['network', 'create', 'other']);
    const ports = ['-p', '127.0.0.1:8080:80', '-p', '127.0.0.1:8081:80'];
    await d.must(['run', '-d', '--name', 'web', '--network', 'net', ...ports, IMG, 'sleep', '1000']);
    await d.must(['run', '-d', '--name', 'two', '--network', 'net', '--network', 'other', IMG, 'sleep', '1000']);
    const web = await pidOf(d, 'web');
    stack.use(await scriptInside(web, echo));
    const [a, b] = [
      stack.use(await talk(process.pid, '127.0.0.1', 8080)),
      stack.use(await talk(process.pid, '127.0.0.1', 8081)),
    ];
    await a.goesOn();
    await berth(d, 'update', '--publish-rm', '8080:80', 'web');
    await a.ends();
    await b.goesOn();
    await d.must(['network', 'disconnect', 'other', 'two']);
    await b.goesOn();
    await d.must(['network', 'connect', 'other', 'web']);
    await b.goesOn();
    await d.must(['network', 'disconnect', 'net', 'web']);
    await b.ends();
    // The port goes on with the network that is left.
    const c = stack.use(await talk(process.pid, '127.0.0.1', 8081));
    await c.goesOn();
    await d.must(['rm', '-f', 'web', 'two']);
    // What was cut keeps its namespace for a minute, but no link in it.
    await eventually(
      'no link is left',
      async () => (await must('ip', ['-o', 'link', 'show', 'type', 'veth'])) === '',
      30_000,
    );
    await d.must(['network', 'rm', 'net', 'other']);
  });
}
