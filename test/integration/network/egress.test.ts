/** Egress policies of containers and networks: names, networks and ports; told when they refuse; over restarts and flushes. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { eventually, must, run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { scriptInside } from '../../support/inside.ts';
import { Machine } from '../../support/machine.ts';
import { nameServer } from '../../support/name-server.ts';
import { isInside } from './namespace.ts';

const IMG = 'berth.test/busybox:1';
const [ALLOWED, OTHER, RESOLVER] = ['192.0.2.10', '192.0.2.11', '192.0.2.2'];
const names = {
  'allowed.example': [ALLOWED],
  'www.below.example': [ALLOWED],
  'other.example': [OTHER],
  'metadata.example': ['169.254.169.254'],
};

if (isInside(import.meta.path)) {
  setDefaultTimeout(60_000);
  await must('ip', ['link', 'set', 'lo', 'up']);

  /** The world: a name server, and two addresses that greet on ports 80 and 443. */
  async function world(stack: AsyncDisposableStack) {
    const machine = stack.use(
      await Machine.start({
        link: 'outside',
        host: ['192.0.2.1/24'],
        own: [RESOLVER, ALLOWED, OTHER, '169.254.169.254'].map((ip) => `${ip}/24`),
      }),
    );
    await must('ip', ['route', 'add', '169.254.169.254', 'dev', 'outside']);
    const server = stack.use(await nameServer(machine.pid, names, RESOLVER));
    stack.use(
      await scriptInside(
        machine.pid,
        `for (const port of [80, 443]) Bun.listen({ hostname: '0.0.0.0', port, socket: { open(s) { s.end('hello\\n'); }, data() {} } });
         console.log('ready');`,
      ),
    );
    const d = stack.use(await TestDaemon.start({ args: ['--dns', RESOLVER] }));
    return { d, server };
  }

  const reach = async (d: TestDaemon, container: string, host: string, port = 80): Promise<string> => {
    const r = await d.docker(['exec', container, 'nc', '-w', '2', host, String(port)]);
    return r.stdout === 'hello\n' ? 'reached' : r.stderr.includes('bad address') ? 'no such name' : 'refused';
  };
  const berth = async (d: TestDaemon, ...args: string[]): Promise<string> => {
    const r = await d.berth(args);
    if (r.code !== 0) throw new Error(`berth ${args.join(' ')}: ${r.stderr}`);
    return r.stdout.trim();
  };

  test('an allow list of names: the name is reached, others are neither found nor reached, and it is told', async () => {
    await using stack = new AsyncDisposableStack();
    const { d, server } = await world(stack);
    await berth(d, 'run', '-d', '--name', 'free', IMG, 'sleep', '1000');
    await berth(
      d,
      'run',
      '-d',
      '--name',
      'box',
      '--egress-allow',
      'allowed.example:80,*.below.example,metadata.example',
      IMG,
      'sleep',
      '1000',
    );
    for (const host of [ALLOWED, OTHER, 'other.example'])
      expect([host, await reach(d, 'free', host)]).toEqual([host, 'reached']);
    const asked = server.output();
    // Not before its name was asked for.
    expect(await reach(d, 'box', ALLOWED)).toBe('refused');
    expect(await reach(d, 'box', 'allowed.example')).toBe('reached');
    expect(await reach(d, 'box', ALLOWED)).toBe('reached');
    expect(await reach(d, 'box', 'allowed.example', 443)).toBe('refused');
    expect(await reach(d, 'box', 'www.below.example', 443)).toBe('reached');
    expect(await reach(d, 'box', 'other.example')).toBe('no such name');
    expect(await reach(d, 'box', OTHER)).toBe('refused');
    // A name does not open what only the host's links have; neither is the host itself the outside that is allowed.
    expect(await reach(d, 'box', 'metadata.example')).toBe('refused');
    expect((await d.docker(['exec', 'box', 'ping', '-c', '1', '-W', '1', `${d.subnet}.1`])).code).not.toBe(0);
    expect(await reach(d, 'box', RESOLVER, 53)).toBe('refused');
    const askedSince = server.output().slice(asked.length);
    expect(askedSince).toContain('asked allowed.example\n');
    expect(askedSince).not.toContain('other.example');
    const told = await eventually('refusals are told', async () => {
      const until = String(Math.ceil(Date.now() / 1000));
      const events = await d.must(['events', '--since', '0', '--until', until, '--filter', 'event=egress_denied']);
      return events.includes(`destination=${OTHER}`) && events;
    });
    expect(told).toContain('destination=other.example');
    expect(told).toContain('name=box');
    expect(told).not.toContain('name=free');

    // The daemon is killed, others flush everything: nothing opens, what was open stays.
    await d.restart();
    expect(await reach(d, 'box', OTHER)).toBe('refused');
    expect(await reach(d, 'box', ALLOWED)).toBe('reached');
    expect(await reach(d, 'box', 'allowed.example')).toBe('reached');
    await must('nft', ['flush', 'ruleset']);
    await eventually('the rules are back', async () => (await reach(d, 'box', OTHER)) === 'refused');
    expect(await reach(d, 'box', ALLOWED)).toBe('reached');

    // The next one with its address knows nothing of what the name led to.
    await d.must(['rm', '-f', 'box']);
    await berth(d, 'run', '-d', '--name', 'box', '--egress-allow', 'allowed.example', IMG, 'sleep', '1000');
    expect(await reach(d, 'box', ALLOWED)).toBe('refused');
    await d.must(['rm', '-f', 'box', 'free']);
    expect((await run('nft', ['list', 'ruleset'])).stdout).not.toContain('egress-');
  });

  test('policies of a network and of a container both have their say, and change while it runs', async () => {
    await using stack = new AsyncDisposableStack();
    const { d } = await world(stack);
    await d.must([
      'network',
      'create',
      '-o',
      'berth.egress=deny',
      '-o',
      `berth.egress.allow=${ALLOWED}/32,other.example,host:53`,
      'net',
    ]);
    await d.must(['run', '-d', '--name', 'one', '--network', 'net', IMG, 'sleep', '1000']);
    await berth(
      d,
      'run',
      '-d',
      '--name',
      'two',
      '--network',
      'net',
      '--egress-deny',
      `192.0.2.8/30:80/tcp`,
      IMG,
      'sleep',
      '1000',
    );
    expect([await reach(d, 'one', ALLOWED), await reach(d, 'one', OTHER)]).toEqual(['reached', 'refused']);
    expect(await reach(d, 'one', 'other.example')).toBe('reached');
    expect([await reach(d, 'two', ALLOWED), await reach(d, 'two', ALLOWED, 443)]).toEqual(['refused', 'reached']);
    expect([await reach(d, 'two', 'other.example'), await reach(d, 'two', OTHER, 443)]).toEqual(['refused', 'reached']);
    // Neighbours of its network are not the outside.
    expect((await d.docker(['exec', 'one', 'ping', '-c', '1', '-W', '2', 'two'])).code).toBe(0);
    await berth(d, 'update', '--unset-label', 'berth.egress.deny', 'two');
    // What a name that is still allowed had led to stays open.
    expect([await reach(d, 'two', ALLOWED), await reach(d, 'two', OTHER)]).toEqual(['reached', 'reached']);
    await berth(d, 'update', '--egress', 'deny', 'two');
    expect([await reach(d, 'two', ALLOWED), await reach(d, 'two', 'other.example')]).toEqual([
      'refused',
      'no such name',
    ]);
    // On another network the container's own goes on.
    await d.must(['network', 'connect', 'bridge', 'two']);
    expect(await reach(d, 'two', ALLOWED)).toBe('refused');
    await d.must(['network', 'disconnect', 'net', 'two']);
    expect(await reach(d, 'two', ALLOWED)).toBe('refused');
    await berth(d, 'update', '--unset-label', 'berth.egress', 'two');
    expect(await reach(d, 'two', 'other.example')).toBe('reached');
    await d.must(['rm', '-f', 'one', 'two']);
    await d.must(['network', 'rm', 'net']);
    expect((await run('nft', ['list', 'ruleset'])).stdout).not.toContain('egress-');
  });

  test('what cannot be is refused by name', async () => {
    await using d = await TestDaemon.start();
    for (const [args, words] of [
      [['--egress-allow', 'a_b!.example'], 'invalid egress entry "a_b!.example"'],
      [['--egress-allow', '10.0.0.0/33'], 'invalid egress entry "10.0.0.0/33"'],
      [['--egress-allow', 'example.com:1-17'], 'a name takes at most 16 ports'],
      [['--egress', 'maybe'], 'invalid egress default "maybe"'],
      [['--egress', 'deny', '--network', 'host'], 'conflicting options: an egress policy and the network mode'],
      [['--egress', 'deny', '--spoof-protection=false'], 'does not go together with an egress policy'],
      [['--publish-policy', 'x'], 'it must be docker or host-firewall'],
    ] as const) {
      const r = await d.berth(['run', '--rm', ...args, IMG, 'true']);
      expect([args, r.code, r.stderr.includes(words) || r.stderr]).toEqual([args, 125, true]);
    }
    const network = await d.docker(['network', 'create', '-o', 'berth.egres=deny', 'x']);
    expect(network.stderr).toContain('unknown network option "berth.egres"');
    expect((await d.docker(['network', 'create', '-o', 'berth.egress=no', 'x'])).stderr).toContain('egress default');
  });
}
