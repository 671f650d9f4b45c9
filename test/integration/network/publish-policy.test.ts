/** Published ports and the firewall of the host: publish-policy, and what `ports audit` says of it. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { eventually, must, run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { Machine } from '../../support/machine.ts';
import { isInside } from './namespace.ts';

const IMG = 'berth.test/busybox:1';
const HOST = '192.0.2.1';

if (isInside(import.meta.path)) {
  setDefaultTimeout(60_000);
  await must('ip', ['link', 'set', 'lo', 'up']);

  const machine = () =>
    Machine.start({
      link: 'outside',
      host: [`${HOST}/24`, 'fd00:2::1/64'],
      own: ['192.0.2.2/24', 'fd00:2::2/64'],
    });

  /** What a connection from there is greeted with; '' when it does not come about. */
  const greeting = async (from: Machine, port: number, host = HOST): Promise<string> =>
    (await from.run('busybox', 'nc', '-w', '2', host, String(port))).stdout;

  const web = (d: TestDaemon, name: string, ...args: string[]) =>
    d.must(['run', '-d', '--name', name, ...args, IMG, 'nc', '-ll', '-p', '80', '-e', 'echo', name]);

  /** A firewall as its user has it: nothing comes in but by the ports of a set. */
  const closed = `table inet fw { set open { type inet_service; }
    chain input { type filter hook input priority filter; policy drop;
      iifname "lo" accept
      ct state established,related accept
      meta l4proto ipv6-icmp accept
      th dport @open accept
  }
  }
`;

  test('with host-firewall a published port is reachable as far as the host lets it in', async () => {
    await using d = await TestDaemon.start();
    await using outside = await machine();
    await must('nft', ['-f', '-'], { input: closed });
    try {
      await d.must(['network', 'create', '--ipv6', 'six']);
      await web(d, 'plain', '-p', '8001:80');
      await web(d, 'judged', '--network', 'six', '--label', 'berth.publish-policy=host-firewall', '-p', '8002:80');
      await eventually('docker: past the firewall', async () => (await greeting(outside, 8001)) === 'plain\n');
      expect(await greeting(outside, 8002)).toBe('');
      expect(await greeting(outside, 8002, 'fd00:2::1')).toBe('');
      const audited = async (): Promise<string[]> =>
        (await d.berth(['ports', 'audit', '--format', '{{.Container}} {{.Published}} {{.Outside}} {{.Reason}}'])).stdout
          .trim()
          .split('\n')
          .sort();
      const asked = "yes the host's input rules are not asked";
      expect(await audited()).toEqual([
        'judged 0.0.0.0:8002 no input chain "inet fw input" drops it',
        'judged [::]:8002 no input chain "inet fw input" drops it',
        `plain 0.0.0.0:8001 ${asked}`,
      ]);
      // What a container in the host's network listens on is the host's own.
      await d.must(['run', '-d', '--name', 'bare', '--network', 'host', IMG, 'sleep', '1000']);
      expect((await audited())[0]).toBe('bare host network no it listens on nothing');
      await d.must(['exec', '-d', 'bare', 'nc', '-ll', '-p', '8003', '-e', 'true']);
      const bare = async () => (await audited()).filter((line) => line.startsWith('bare'));
      await eventually('it is listed', async () => (await bare()).join().includes(':8003 (host network)'));
      for (const line of await bare()) expect(line).toEndWith('(host network) no input chain "inet fw input" drops it');
      await must('nft', ['add', 'element', 'inet', 'fw', 'open', '{ 8003 }']);
      expect((await bare()).join()).toContain("yes the host's input rules accept it");
      await d.must(['rm', '-f', 'bare']);
      // The host itself and containers are not the outside.
      expect((await run('busybox', ['nc', '-w', '2', '127.0.0.1', '8002'])).stdout).toBe('judged\n');
      expect(await d.must(['run', '--rm', IMG, 'nc', '-w', '2', `${d.subnet}.1`, '8002'])).toBe('judged');
      await must('nft', ['add', 'element', 'inet', 'fw', 'open', '{ 8002 }']);
      expect(await greeting(outside, 8002)).toBe('judged\n');
      expect(await greeting(outside, 8002, 'fd00:2::1')).toBe('judged\n');
      expect((await audited())[0]).toBe("judged 0.0.0.0:8002 yes the host's input rules accept it");
      // Over a kill of the daemon and a flush of our tables.
      await d.restart();
      await must('nft', ['delete', 'element', 'inet', 'fw', 'open', '{ 8002 }']);
      expect(await greeting(outside, 8002)).toBe('');
      await must('nft', ['add', 'element', 'inet', 'fw', 'open', '{ 8002 }']);
      expect(await greeting(outside, 8002)).toBe('judged\n');
      await d.must(['rm', '-f', 'judged']);
      expect(await greeting(outside, 8002)).toBe('');
    } finally {
      await run('nft', ['delete', 'table', 'inet', 'fw']);
    }
  });
}
