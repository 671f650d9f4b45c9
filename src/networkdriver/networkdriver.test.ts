/** The pure parts of the drivers: addresses, pools, name servers, names of links. */
import { describe, expect, test } from 'bun:test';
import * as fc from 'fast-check';
import { type Subnet6, subnet6Of, subnet6Text, subnetOf, subnetSize, subnetText } from '#libcontainer/netlink/ip.ts';
import { AddressPool } from './ipam.ts';
import { isLinkName, linkNameOf } from './link-name.ts';
import { containerNameservers, hostNameservers, parseNameservers } from './nameservers.ts';
import { choosePool, choosePool6, defaultPools, firstAddressOf, parseBip } from './pools.ts';

describe('addresses of a network', () => {
  const pool = () => new AddressPool(subnetOf('10.0.0.0/29'), ['10.0.0.1']);

  test('in order, never network, broadcast or gateway, and each once', () => {
    const addresses = pool();
    expect(Array.from({ length: 5 }, () => addresses.allocate())).toEqual([
      '10.0.0.2',
      '10.0.0.3',
      '10.0.0.4',
      '10.0.0.5',
      '10.0.0.6',
    ]);
    expect(() => addresses.allocate()).toThrow("no available IPv4 addresses on this network's address pools");
  });

  test('a released one comes again last', () => {
    const addresses = pool();
    const first = addresses.allocate();
    addresses.release(first);
    addresses.release(first);
    const next = Array.from({ length: 4 }, () => addresses.allocate());
    expect(next).not.toContain(first);
    expect(addresses.allocate()).toBe(first);
  });

  test('a restored one is not given again', () => {
    const addresses = pool();
    addresses.reserve('10.0.0.2');
    expect(() => addresses.reserve('10.0.0.2')).toThrow('Address already in use');
    expect(() => addresses.reserve('10.0.1.2')).toThrow('it is not in 10.0.0.0/29');
    expect(addresses.allocate()).toBe('10.0.0.3');
  });

  test('nothing leaks, whatever the order', () => {
    fc.assert(
      fc.property(fc.array(fc.option(fc.nat(20), { nil: undefined })), (acts) => {
        const addresses = pool();
        const idle = addresses.used;
        const held: string[] = [];
        for (const act of acts) {
          if (act !== undefined) held.splice(act % (held.length + 1), 1).forEach((ip) => addresses.release(ip));
          else if (held.length < 5) held.push(addresses.allocate());
          expect(new Set(held).size).toBe(held.length);
          expect(addresses.used).toBe(idle + held.length);
        }
      }),
    );
  });
});

describe('pools', () => {
  test("the default ones are Docker's, in order", () => {
    const taken: ReturnType<typeof subnetOf>[] = [];
    const all: string[] = [];
    for (let i = 0; i < 31; i++) {
      const subnet = choosePool(defaultPools, taken);
      taken.push({ ...subnet, address: subnet.first });
      all.push(subnetText(subnet));
    }
    expect(all.slice(0, 5)).toEqual([
      '172.17.0.0/16',
      '172.18.0.0/16',
      '172.19.0.0/16',
      '172.20.0.0/16',
      '172.21.0.0/16',
    ]);
    expect(all[14]).toBe('172.31.0.0/16');
    expect(all[15]).toBe('192.168.0.0/20');
    expect(all[30]).toBe('192.168.240.0/20');
    expect(() => choosePool(defaultPools, taken)).toThrow('all predefined address pools have been fully subnetted');
  });
  test('what the host reaches is left out', () => {
    const inUse = ['172.17.128.0/17', '172.18.0.1/32'].map(subnetOf);
    expect(subnetText(choosePool(defaultPools, inUse))).toBe('172.19.0.0/16');
  });
  test('a pool of small networks in a great one that is in use is passed at once', () => {
    const pools = [{ base: '10.0.0.0/8', size: 30 }];
    expect(subnetText(choosePool(pools, ['10.0.0.0/9', '10.128.0.5/32'].map(subnetOf)))).toBe('10.128.0.0/30');
    expect(() => choosePool(pools, [subnetOf('10.0.0.0/8')])).toThrow('fully subnetted');
  });
  test('pools of IPv6; without any a random one of RFC 4193; pools of IPv6 alone leave those of IPv4', () => {
    const pools = [{ base: 'fd00:1::/62', size: 64 }];
    const taken: Subnet6[] = [subnet6Of('fd00:1:0:1::7/128')];
    const all = Array.from({ length: 3 }, () => {
      const subnet = choosePool6(pools, taken);
      taken.push(subnet);
      return subnet6Text(subnet);
    });
    expect(all).toEqual(['fd00:1::/64', 'fd00:1:0:2::/64', 'fd00:1:0:3::/64']);
    expect(() => choosePool6(pools, taken)).toThrow('fully subnetted');
    expect(() => choosePool6([{ base: 'fd00::/8', size: 126 }], [subnet6Of('::/0')])).toThrow('fully subnetted');
    expect(subnet6Text(choosePool6(defaultPools, []))).toMatch(/^fd[0-9a-f:]+::\/64$/);
    expect(subnetText(choosePool(pools, []))).toBe('172.17.0.0/16');
  });
  test('--bip', () => {
    expect(parseBip('10.1.0.9/16')).toEqual({ subnet: { first: 0x0a010000, prefixLength: 16 }, gateway: '10.1.0.9' });
    for (const bad of ['10.1.0.0/16', '10.1.255.255/16', '10.1.0.1/31']) {
      expect(() => parseBip(bad)).toThrow("is no host's address");
    }
    expect(() => parseBip('10.1.0.1')).toThrow('Cannot read "10.1.0.1" as an IPv4 network');
    expect(firstAddressOf(subnetOf('10.2.0.0/24')).gateway).toBe('10.2.0.1');
    expect(subnetSize(subnetOf('10.2.0.0/24'))).toBe(256);
  });
});

describe('name servers', () => {
  const read = (files: Readonly<Record<string, string>>) => (path: string) => files[path] ?? '';

  test('comments and other words are no servers', () => {
    expect(parseNameservers('# nameserver 1.1.1.1\nnameserver 9.9.9.9 x\nsearch a\nnameserver\t8.8.4.4\n')).toEqual([
      '9.9.9.9',
      '8.8.4.4',
    ]);
  });
  test('behind systemd-resolved its upstream servers', () => {
    const files = {
      '/etc/resolv.conf': 'nameserver 127.0.0.53\n',
      '/run/systemd/resolve/resolv.conf': 'nameserver 10.0.0.1\n',
    };
    expect(hostNameservers(read(files))).toEqual(['10.0.0.1']);
  });
  test.each([
    [['10.0.0.1', '127.0.0.1'], ['10.0.0.1']],
    [['127.0.0.53'], ['8.8.8.8', '8.8.4.4']],
    [[], ['8.8.8.8', '8.8.4.4']],
    [
      ['::1', 'fe80::1%eth0', 'fd00::1'],
      ['8.8.8.8', '8.8.4.4'],
    ],
  ] as const)('%p reach a container as %p', (host, container) => {
    expect([...containerNameservers(host)]).toEqual([...container]);
  });
});

test('names of links fit, differ by daemon, and are told apart', () => {
  const id = 'f0e1d2c3b4a5'.repeat(6);
  for (const suffix of [undefined, '00ff00']) {
    const name = linkNameOf(id, suffix);
    expect(name.length).toBeLessThanOrEqual(15);
    expect(isLinkName(name, suffix)).toBe(true);
    expect(isLinkName(name, suffix === undefined ? '00ff00' : undefined)).toBe(false);
    expect(isLinkName(name, 'aaaaaa')).toBe(false);
  }
  for (const other of ['berth0', 'berth-00ff00', 'veth1234567', 'eth0'])
    expect(isLinkName(other, undefined)).toBe(false);
});
