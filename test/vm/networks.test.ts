/**
 * Networks that need this kernel (ipvlan, VLAN parents), and the firewalls, resolver and engine that Debian has, for
 * real: the machine itself is their host, another "machine" is a network namespace at the other end of a link.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { bootInstalled, IMG, LIMIT_MS, shell, UNTIL } from './installed.ts';
import type { GuestResult, Machine } from './machine.ts';

let vm: Machine;
let sh: (script: string, limitMs?: number) => Promise<GuestResult>;
const SLOW_MS = 600_000;

/** Shell: what is reached from where, a line each. */
const CHECK = `${UNTIL}
greeting() { nsenter --net=/run/netns/outside busybox nc -w 3 192.168.50.1 $1 2>/dev/null; }
check() {
  echo "plain $(greeting 8001)"; echo "judged $(greeting 8002)"; echo "local $(busybox nc -w 3 127.0.0.1 8001)"
  echo "hairpin $(docker exec ca nc -w 3 192.168.50.1 8001)"
  docker exec ca ping -c 1 -w 5 192.168.50.2 >/dev/null && echo out
  docker exec ca ping -c 1 -w 2 $(docker inspect -f '{{.NetworkSettings.Networks.netb.IPAddress}}' cb) >/dev/null || echo isolated
  docker exec ca nslookup ca | grep -q "$(docker inspect -f '{{.NetworkSettings.Networks.neta.IPAddress}}' ca)" && echo named
}`;
const lines = (text: string): string[] => text.trim().split('\n');
/** What \`check\` prints where a closed firewall of the host judges. */
const CLOSED = ['plain plain', 'judged ', 'local plain', 'hairpin plain', 'out', 'isolated', 'named'];
const OPENED = CLOSED.map((line) => (line === 'judged ' ? 'judged judged' : line));

beforeAll(async () => {
  vm = await bootInstalled('whole');
  sh = shell(vm);
  await vm.must(
    `set -e
    export DOCKER_HOST=unix:///run/berth.sock
    ip netns add outside; ip link add eth0 type veth peer name far netns outside
    ip addr add 192.168.50.1/24 dev eth0; ip link set eth0 up; ip route add default via 192.168.50.2
    ip -n outside addr add 192.168.50.2/24 dev far; ip -n outside link set far up; ip -n outside link set lo up
    docker network create neta; docker network create netb
    docker run -d --name plain -p 8001:80 ${IMG} nc -ll -p 80 -e echo plain
    docker run -d --name judged --label berth.publish-policy=host-firewall -p 8002:80 ${IMG} nc -ll -p 80 -e echo judged
    docker run -d --name ca --network neta ${IMG} sleep 100000; docker run -d --name cb --network netb ${IMG} sleep 100000`,
    LIMIT_MS,
  );
}, 1_800_000);
afterAll(async () => {
  await vm?.[Symbol.asyncDispose]();
}, 60_000);

test(
  'ipvlan l2 and l3: containers reach each other by name, with the routes of their mode',
  async () => {
    const r = await sh(`
      for mode in l2 l3 l3s; do
        docker network create -d ipvlan --subnet 10.55.1.0/24 -o parent=eth0 -o ipvlan_mode=$mode ip$mode >/dev/null
        docker run -d --name c1 --network ip$mode ${IMG} sleep 1000 >/dev/null; docker run -d --name c2 --network ip$mode ${IMG} sleep 1000 >/dev/null
        docker exec c1 ping -c 1 -w 5 c2 >/dev/null && echo "$mode reached"
        docker exec c1 ip route | grep default | xargs
        docker rm -f c1 c2 >/dev/null; docker network rm ip$mode >/dev/null
      done`);
    const [l2, l3] = ['default via 10.55.1.1 dev eth0', 'default dev eth0 scope link'];
    expect(lines(r.output)).toEqual(['l2 reached', l2, 'l3 reached', l3, 'l3s reached', l3]);
  },
  LIMIT_MS,
);

test.each(['macvlan', 'ipvlan'])(
  '%s on VLAN links that are made for it: reached, kept apart, over kill -9 of the daemon, and undone',
  async (driver) => {
    const r = await sh(`${UNTIL}
      for v in 10 20; do docker network create -d ${driver} --subnet 10.56.$v.0/24 -o parent=eth0.$v v$v >/dev/null; done
      ip -d link show eth0.10 | grep -o 'protocol 802.1Q id 10'
      for c in c1 c2; do docker run -d --name $c --network v10 ${IMG} sleep 1000 >/dev/null; done
      docker run -d --name c3 --network v20 --ip 10.56.20.9 ${IMG} sleep 1000 >/dev/null
      docker exec c1 ping -c 1 -w 5 c2 >/dev/null && echo reached
      docker exec c1 ping -c 1 -w 2 10.56.20.9 >/dev/null || echo apart
      systemctl kill -s KILL berth.service; until_ 'systemctl is-active -q berth.service'
      docker exec c1 ping -c 1 -w 5 c2 >/dev/null && echo reached again
      docker rm -f c1 c2 c3 >/dev/null; docker network rm v10 v20 >/dev/null
      ip -br link | grep -E 'eth0\\.|mv|ipv'; echo end`);
    expect(lines(r.output)).toEqual(['protocol 802.1Q id 10', 'reached', 'apart', 'reached again', 'end']);
  },
  LIMIT_MS,
);

test(
  'ufw that denies: published ports and isolation hold, host-firewall is judged, a reload loses nothing',
  async () => {
    const r = await sh(
      `${CHECK}
      ufw --force enable >/dev/null 2>&1; check
      ufw allow 8002/tcp >/dev/null 2>&1; check
      ufw reload >/dev/null 2>&1; sleep 2; check
      ufw status | grep -c 8002; ufw --force reset >/dev/null 2>&1; ufw --force disable >/dev/null 2>&1`,
      SLOW_MS,
    );
    expect(lines(r.output)).toEqual([...CLOSED, ...OPENED, ...OPENED, '2']);
  },
  SLOW_MS,
);

test(
  'firewalld: bridges come into a zone, also after a reload, and leave it with their network',
  async () => {
    const r = await sh(
      `${CHECK}
      zone() { firewall-cmd --zone=trusted --list-interfaces | wc -w; }
      systemctl start firewalld.service; until_ '[ "$(zone)" = 3 ]' || zone; check
      firewall-cmd --zone=public --add-port=8002/tcp >/dev/null; check
      firewall-cmd --reload >/dev/null 2>&1; until_ '[ "$(zone)" = 3 ]' || zone; check
      docker network create netc >/dev/null; zone
      docker run --rm --network netc ${IMG} ping -c 1 -w 5 192.168.50.2 | grep -c 'bytes from'
      docker network rm netc >/dev/null; zone
      systemctl stop firewalld.service`,
      SLOW_MS,
    );
    expect(lines(r.output)).toEqual([...CLOSED, ...OPENED, ...CLOSED, '4', '1', '3']);
  },
  SLOW_MS,
);

test(
  'beside a running dockerd: both reach and are reached, also when the other starts again',
  async () => {
    const r = await sh(
      `${CHECK}
      systemctl start docker.service
      D="docker -H unix:///run/docker.sock"; until_ '$D version >/dev/null 2>&1'
      $D load -q -i /berth/busybox.tar >/dev/null
      $D run -d --restart always --name dd -p 8011:80 ${IMG} nc -ll -p 80 -e echo docker >/dev/null
      both() {
        check; echo "docker $(greeting 8011)"
        $D exec dd ping -c 1 -w 5 192.168.50.2 >/dev/null && echo docker out
        echo "to us $($D exec dd nc -w 3 192.168.50.1 8001)"; echo "to docker $(docker exec ca nc -w 3 192.168.50.1 8011)"
      }
      both
      systemctl restart docker.service; until_ '[ "$(greeting 8011)" = docker ]'; sleep 1; both
      systemctl restart berth.service; docker version >/dev/null; both
      $D rm -f dd >/dev/null; systemctl stop docker.service docker.socket containerd.service; check`,
      SLOW_MS,
    );
    const both = [...OPENED, 'docker docker', 'docker out', 'to us plain', 'to docker docker'];
    expect(lines(r.output)).toEqual([...both, ...both, ...both, ...OPENED]);
  },
  SLOW_MS,
);

test(
  'sctp: a published port is held, led to its container from outside and from the host, and free again',
  async () => {
    const r = await sh(`${UNTIL}
      modprobe sctp; cat >/tmp/sctp.py <<'X'
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
s.settimeout(8)
try:
  if sys.argv[1] == 'serve':
    s.bind(('0.0.0.0', 77)); s.listen(5); s.settimeout(None); print('serves', flush=True)
    while True:
      c, peer = s.accept(); c.send(('sctp ' + peer[0]).encode()); c.close()
  if sys.argv[1] == 'bind':
    s.bind(('0.0.0.0', int(sys.argv[2]))); print('free')
  if sys.argv[1] == 'ask':
    s.connect((sys.argv[2], int(sys.argv[3]))); print(s.recv(100).decode())
except OSError as e:
  print(e.strerror or 'timed out')
X
      docker run -d --name st -p 7707:77/sctp -p 127.0.0.1:7708:77/sctp ${IMG} sleep 1000 >/dev/null; docker port st 77/sctp | sort
      nsenter -t $(docker inspect -f '{{.State.Pid}}' st) -n python3 /tmp/sctp.py serve >/tmp/sctp.out & server=$!
      until_ 'grep -qs serves /tmp/sctp.out'
      nsenter --net=/run/netns/outside python3 /tmp/sctp.py ask 192.168.50.1 7707
      python3 /tmp/sctp.py ask 127.0.0.1 7708 | cut -d' ' -f1; python3 /tmp/sctp.py ask 192.168.50.1 7707 | cut -d' ' -f1
      nsenter -t $(docker inspect -f '{{.State.Pid}}' ca) -n python3 /tmp/sctp.py ask 192.168.50.1 7707 | cut -d' ' -f1
      python3 /tmp/sctp.py bind 7707
      docker run --rm -p 7707:1/sctp ${IMG} true 2>&1 | grep -o 'port is already allocated'
      systemctl kill -s KILL berth.service; until_ 'systemctl is-active -q berth.service'
      nsenter --net=/run/netns/outside python3 /tmp/sctp.py ask 192.168.50.1 7707
      docker rm -f st >/dev/null; kill $server 2>/dev/null; python3 /tmp/sctp.py bind 7707`);
    expect(lines(r.output)).toEqual([
      ...['0.0.0.0:7707', '127.0.0.1:7708'],
      ...['sctp 192.168.50.2', 'sctp', 'sctp', 'sctp'],
      ...['Address already in use', 'port is already allocated', 'sctp 192.168.50.2', 'free'],
    ]);
  },
  LIMIT_MS,
);

test(
  'systemd-resolved asks for the names of containers, until it is told not to',
  async () => {
    const r = await sh(`${UNTIL}
      systemctl start systemd-resolved.service
      berth network resolve --install >/dev/null; echo "install $?"
      ip=$(docker inspect -f '{{.NetworkSettings.Networks.neta.IPAddress}}' ca)
      until_ 'resolvectl query -4 ca.neta.berth.internal 2>/dev/null | grep -q "$ip"' && echo found
      systemctl restart systemd-resolved.service
      until_ 'resolvectl query -4 ca.neta.berth.internal 2>/dev/null | grep -q "$ip"' && echo found again
      berth network resolve --remove >/dev/null; echo "remove $?"
      resolvectl query ca.neta.berth.internal >/dev/null 2>&1 || echo gone
      systemctl stop systemd-resolved.service`);
    expect(lines(r.output)).toEqual(['install 0', 'found', 'found again', 'remove 0', 'gone']);
  },
  LIMIT_MS,
);
