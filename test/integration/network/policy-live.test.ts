/** Publish policy and spoof guard of running containers, changed by their network and by themselves. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { eventually, must } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { Machine } from '../../support/machine.ts';
import { isInside } from './namespace.ts';

const IMG = 'berth.test/busybox:1';
const HOST = '192.0.2.1';

if (isInside(import.meta.path)) {
  setDefaultTimeout(60_000);
  await must('ip', ['link', 'set', 'lo', 'up']);

  const berth = async (d: TestDaemon, ...args: string[]): Promise<void> => {
    const { code, stderr } = await d.berth(args);
    expect(stderr).toBe('');
    expect(code).toBe(0);
  };

  test('the host judges published ports of a network from an update on, and no longer after the next', async () => {
    await using d = await TestDaemon.start();
    await using outside = await Machine.start({ link: 'outside', host: [`${HOST}/24`], own: ['192.0.2.2/24'] });
    await must('nft', ['add', 'table', 'inet', 'fw']);
    using _undo = { [Symbol.dispose]: () => Bun.spawnSync(['nft', 'delete', 'table', 'inet', 'fw']) };
    const chain = '{ type filter hook input priority filter; policy drop; iifname "lo" accept; }';
    await must('nft', ['add', 'chain', 'inet', 'fw', 'input', chain]);
    await d.must(['network', 'create', 'app']);
    const web = (name: string, ...args: string[]) =>
      d.must([
        'run',
        '-d',
        '--name',
        name,
        '--network',
        'app',
        ...args,
        IMG,
        'nc',
        '-ll',
        '-p',
        '80',
        '-e',
        'echo',
        name,
      ]);
    await web('any', '-p', '80');
    await web('own', '-p', '80', '--label', 'berth.publish-policy=docker');
    const port = async (name: string) => /:(\d+)$/m.exec(await d.must(['port', name, '80']))?.[1] ?? '';
    const [anyPort, ownPort] = [await port('any'), await port('own')];
    const greeting = async (at: string) => (await outside.run('busybox', 'nc', '-w', '2', HOST, at)).stdout.trim();
    await eventually('reachable', async () => (await greeting(anyPort)) === 'any');

    await berth(d, 'network', 'update', '--publish-policy', 'host-firewall', 'app');
    expect(await greeting(anyPort)).toBe('');
    expect(await greeting(ownPort)).toBe('own');
    expect(await port('any')).toBe(anyPort);
    await d.restart();
    expect(await greeting(anyPort)).toBe('');

    // Cut off between the record and the rules: the next start completes it.
    await d.restart('SIGKILL', { BERTH_FAILPOINTS: 'network-update.recorded=kill' });
    await d.berth(['network', 'update', '--unset-opt', 'berth.publish-policy', 'app']);
    await d.ended();
    await d.launch();
    expect(await greeting(anyPort)).toBe('any');
    expect(await port('any')).toBe(anyPort);

    // A container's own word, by an update of its own.
    await berth(d, 'update', '--publish-policy', 'host-firewall', 'any');
    expect(await greeting(anyPort)).toBe('');
    expect(await port('any')).toBe(anyPort);
    await d.must(['rm', '-f', 'any', 'own']);
    expect(await greeting(ownPort)).toBe('');
    const wrong = await d.berth(['network', 'update', '--publish-policy', 'x', 'app']);
    expect(wrong.stderr).toContain('it must be docker or host-firewall');
  });

  test('a network whose containers may forge senders, and may no longer', async () => {
    await using d = await TestDaemon.start();
    await d.must(['network', 'create', '--subnet', '10.88.7.0/24', 'app']);
    await d.must(['run', '-d', '--name', 'box', '--network', 'app', '--cap-add', 'NET_ADMIN', IMG, 'sleep', '1000']);
    await d.must(['exec', 'box', 'ip', 'addr', 'add', '10.88.7.200/24', 'dev', 'eth0']);
    const forges = async () =>
      (await d.docker(['exec', 'box', 'ping', '-c', '1', '-W', '2', '-I', '10.88.7.200', '10.88.7.1'])).code === 0;
    expect(await forges()).toBe(false);
    await berth(d, 'network', 'update', '--spoof-protection=false', 'app');
    await eventually('it may', forges);
    await d.restart();
    expect(await forges()).toBe(true);
    await berth(d, 'network', 'update', '--spoof-protection', 'app');
    expect(await forges()).toBe(false);
    await berth(d, 'update', '--spoof-protection=false', 'box');
    await eventually('it may by itself', forges);
    await berth(d, 'update', '--unset-label', 'berth.spoof-protection', 'box');
    expect(await forges()).toBe(false);
    const both = await d.berth(['network', 'update', '--spoof-protection=false', '--egress', 'deny', 'app']);
    expect(both.stderr).toContain('does not go together with an egress policy');
    await d.must(['network', 'create', '-d', 'macvlan', '--subnet', '10.88.8.0/24', 'lan']);
    const direct = await d.berth(['network', 'update', '--spoof-protection=false', 'lan']);
    expect(direct.stderr).toContain('this policy cannot be enforced on a network of driver "macvlan"');
  });
}
