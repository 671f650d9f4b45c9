/** Which changes of nftables reach the daemon: a host that changes its rules all day long does not wake it. */
import { afterEach, expect, test } from 'bun:test';
import { ForeignChanges } from '#libcontainer/firewall/changes.ts';
import { Firewall } from '#libcontainer/firewall/firewall.ts';
import { placeNames } from '#libcontainer/firewall/foreign.ts';
import { monitorFilter } from '#libcontainer/firewall/monitor-filter.ts';
import { decodeMessages, type Message } from '#libcontainer/netlink/codec.ts';
import { NETLINK_NETFILTER } from '#libcontainer/netlink/socket.ts';
import { close } from '#sys/files.ts';
import { SOCKET } from '#sys/numbers.ts';
import { attachFilter, netlinkSocket, recv, setsockopt } from '#sys/sockets.ts';
import { isInside, run } from './namespace.ts';

const TABLE = 'berth-00ff00';

if (isInside(import.meta.path)) {
  afterEach(() => {
    run('nft', 'flush', 'ruleset');
  });
  const buffer = new Uint8Array(1 << 16);

  /** What has come since the last call. */
  function listening(): { readonly heard: () => Message[] } & Disposable {
    const fd = netlinkSocket(NETLINK_NETFILTER);
    attachFilter(fd, monitorFilter(TABLE, process.pid));
    setsockopt(fd, 270, 1, 7);
    const heard = (): Message[] => {
      const all: Message[] = [];
      for (let n = recv(fd, buffer, SOCKET.MSG_DONTWAIT); n !== undefined; n = recv(fd, buffer, SOCKET.MSG_DONTWAIT))
        all.push(...decodeMessages(buffer.slice(0, n)));
      return all;
    };
    return { heard, [Symbol.dispose]: () => close(fd) };
  }
  const takenOf = (messages: readonly Message[]) => {
    const changes = new ForeignChanges(TABLE, process.pid, placeNames);
    const now = changes.take(messages);
    const later = changes.settle();
    return { damaged: now.damaged || later.damaged, moved: now.moved || later.moved };
  };
  const ours = (): Firewall => {
    const firewall = new Firewall({ suffix: '00ff00' });
    firewall.setBridge({
      name: 'one',
      subnets: ['10.1.0.0/24'],
      interContainer: true,
      internal: false,
      masquerade: true,
    });
    firewall.apply();
    return firewall;
  };

  test('rules, sets and tables of others come and go unheard', () => {
    using firewall = ours();
    using monitor = listening();
    run('nft', 'add table inet other; add chain inet other a; add set inet other s { type ipv4_addr; }');
    for (let i = 0; i < 100; i++) run('nft', `add rule inet other a tcp dport ${1000 + i} accept`);
    run('nft', `add element inet other s { ${Array.from({ length: 10 }, (_, i) => `10.9.8.${i}`).join(', ')} }`);
    for (let i = 0; i < 5; i++) run('nft', `add chain inet other b${i}; delete chain inet other b${i}`);
    run('nft', 'delete element inet other s { 10.9.8.1, 10.9.8.2 }; add element inet other s { 10.9.8.1 }');
    run(
      'nft',
      'add chain inet other c; add rule inet other c accept; flush chain inet other c; flush set inet other s',
    );
    expect(monitor.heard()).toEqual([]);
    // So many deletions at once are not looked through: whoever hears of them finds nothing in it.
    run('nft', 'flush chain inet other a');
    expect(takenOf(monitor.heard())).toEqual({ damaged: false, moved: false });
    run('nft', 'delete table inet other');
    // Tables of other daemons of ours, whose names begin as ours does.
    run('nft', 'add table inet berth; add chain inet berth x; delete table inet berth');
    run('nft', `add table inet ${TABLE}0; delete table inet ${TABLE}0`);
    expect(monitor.heard()).toEqual([]);
    // Neither does an addition to our own by others.
    run('nft', `add element inet ${TABLE} bridges { "two" }`);
    expect(monitor.heard()).toEqual([]);
    expect(firewall.table).toBe(TABLE);
  });

  test('what others take of ours is heard, also at the end of a long transaction; what we do ourselves is known', () => {
    using firewall = ours();
    using monitor = listening();
    for (const change of [
      `delete element inet ${TABLE} bridges { "one" }`,
      `flush chain inet ${TABLE} forward`,
      `flush chain bridge ${TABLE} check`,
      `delete table bridge ${TABLE}`,
      'flush ruleset',
    ]) {
      run('nft', change);
      expect([change, takenOf(monitor.heard())]).toEqual([change, { damaged: true, moved: false }]);
      firewall.apply();
      expect([change, takenOf(monitor.heard())]).toEqual([change, { damaged: false, moved: false }]);
    }
    const many = Array.from({ length: 300 }, (_, i) => `add rule inet other a tcp dport ${1 + i} accept\n`).join('');
    run('nft', 'add table inet other; add chain inet other a');
    run('nft', `${many}flush chain inet ${TABLE} forward`);
    expect(takenOf(monitor.heard()).damaged).toBe(true);
    // Elements that the DNS server fills are not looked at.
    firewall.putEgress({
      id: 'a'.repeat(12),
      policy: { refusesRest: true, allow: [], deny: [] },
      ips: [],
      bridges: [],
    });
    monitor.heard();
    run('nft', `add element inet ${TABLE} known4any { 10.0.0.1 . 10.0.0.2 timeout 1h }`);
    run('nft', `delete element inet ${TABLE} known4any { 10.0.0.1 . 10.0.0.2 }`);
    expect(monitor.heard()).toEqual([]);
  });

  test('chains of hooks and places for our rules are heard', () => {
    using _ = ours();
    using monitor = listening();
    const moved = { damaged: false, moved: true };
    for (const change of [
      'add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }',
      'add chain ip filter DOCKER-USER; add rule ip filter DOCKER-USER accept',
      'flush chain ip filter DOCKER-USER',
      'delete chain ip filter DOCKER-USER',
      'add chain ip filter ufw-user-forward',
      'delete chain ip filter ufw-user-forward',
      'add table ip6 filter; add chain ip6 filter ufw6-user-forward',
    ]) {
      run('nft', change);
      expect([change, takenOf(monitor.heard())]).toEqual([change, moved]);
    }
    run('nft', 'add chain ip filter OTHER; add rule ip filter OTHER accept; flush chain ip filter OTHER');
    expect(takenOf(monitor.heard())).toEqual({ damaged: false, moved: false });
  });
}
