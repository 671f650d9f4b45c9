/**
 * Beside the real systemd: slices as parents of containers, Quadlet units, activation by the socket, the watchdog, the
 * journal, and a reboot with restart policies. One boot (and the reboot) for all of it, in this order.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { bootInstalled, IMG, LIMIT_MS, shell, UNTIL } from './installed.ts';
import type { GuestResult, Machine } from './machine.ts';

let vm: Machine;
let sh: (script: string, limitMs?: number) => Promise<GuestResult>;

beforeAll(async () => {
  vm = await bootInstalled('whole');
  sh = shell(vm);
}, 1_800_000);
afterAll(async () => {
  await vm?.[Symbol.asyncDispose]();
}, 60_000);

const lines = (text: string): string[] => text.trim().split('\n');

test(
  'cgroup-parent: a slice of systemd holds a delegated scope of ours with the containers in it',
  async () => {
    const r = await sh(`
      docker run -d --name s1 --cgroup-parent web-front.slice --network none --memory 32m ${IMG} sleep 1000 >/dev/null
      docker run -d --name s2 --cgroup-parent web-front.slice --network none ${IMG} sleep 1000 >/dev/null
      for c in s1 s2; do cat /proc/$(docker inspect -f '{{.State.Pid}}' $c)/cgroup; docker inspect -f '{{.Id}}' $c; done
      systemctl show -P Slice -P Delegate -P ActiveState berth.web-front.scope
      systemctl daemon-reload
      docker exec s1 cat /sys/fs/cgroup/memory.max /proc/self/cgroup
      systemctl set-property --runtime web-front.slice MemoryMax=400M
      cat /sys/fs/cgroup/web.slice/web-front.slice/memory.max`);
    const [one, idOne, two, idTwo, ...rest] = lines(r.output);
    const scope = '/web.slice/web-front.slice/berth.web-front.scope';
    expect([one, two]).toEqual([`0::${scope}/${idOne}`, `0::${scope}/${idTwo}`]);
    expect(rest.sort()).toEqual(['0::/', '33554432', '419430400', 'active', 'web-front.slice', 'yes'].sort());
  },
  LIMIT_MS,
);

test(
  'cgroup-parent: kill -9 of the daemon, restart of a container, the OOM killer, and nothing stays',
  async () => {
    const r = await sh(`${UNTIL}
      systemctl kill -s KILL berth.service; until_ 'systemctl is-active -q berth.service' || exit 9
      docker exec s1 echo goes on
      docker restart -t 0 s1 >/dev/null; docker inspect -f '{{.State.Running}}' s1
      docker rm -f s1 s2 >/dev/null
      docker run --name hog --cgroup-parent web-front.slice --network none --memory 16m ${IMG} sh -c 'x=a; while :; do x=$x$x; done'
      echo "code $?"; docker inspect -f 'oom {{.State.OOMKilled}}' hog; docker rm hog >/dev/null
      until_ '! systemctl is-active -q berth.web-front.scope' && echo no scope
      find /sys/fs/cgroup/web.slice -mindepth 2 -type d
      docker run --rm --cgroup-parent /web ${IMG} true; docker run --rm --cgroup-parent a--b.slice ${IMG} true`);
    expect(r.output).toContain('goes on\ntrue\ncode 137\noom true\nno scope\n');
    expect(r.output).not.toContain('/sys/fs/cgroup/web.slice');
    expect(r.output).toContain('cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"');
    expect(r.output).toContain('Cannot use "a--b.slice" as cgroup-parent: not the name of a slice');
  },
  LIMIT_MS,
);

test.each(['runc', 'crun'])(
  'cgroup-parent: a slice with --runtime %s beside ours: limits, kill -9 of the daemon, its end, and nothing stays',
  async (runtime) => {
    const r = await sh(`${UNTIL}
      pid() { docker inspect -f '{{.State.Pid}}' $1; }
      docker run -d --name other --runtime ${runtime} --cgroup-parent web-front.slice --network none --memory 32m ${IMG} sleep 1000 >/dev/null
      docker run -d --name ours --cgroup-parent web-front.slice --network none ${IMG} sleep 1000 >/dev/null
      cut -d/ -f4 /proc/$(pid other)/cgroup /proc/$(pid ours)/cgroup; before=$(pid other)
      systemctl daemon-reload; docker exec other cat /sys/fs/cgroup/memory.max
      docker stats --no-stream --format '{{.PIDs}}' other; docker pause other >/dev/null; docker unpause other >/dev/null
      systemctl kill -s KILL berth.service; until_ 'systemctl is-active -q berth.service'
      [ "$(pid other)" = "$before" ] && docker exec other echo goes on
      docker update --memory 48m --memory-swap 96m other >/dev/null; docker exec other cat /sys/fs/cgroup/memory.max
      docker restart -t 0 other >/dev/null; cut -d/ -f4 /proc/$(pid other)/cgroup
      docker rm -f other ours >/dev/null
      docker run --name hog --runtime ${runtime} --cgroup-parent web-front.slice --network none --memory 16m ${IMG} sh -c 'x=a; while :; do x=$x$x; done'
      echo "code $?"; docker inspect -f 'oom {{.State.OOMKilled}}' hog; docker rm hog >/dev/null
      for scope in berth:${runtime}.web-front.scope berth.web-front.scope; do until_ "! systemctl is-active -q $scope" || echo $scope stays; done
      find /sys/fs/cgroup/web.slice -mindepth 2 -type d; systemctl --failed --no-legend --no-pager --plain`);
    const [other, ours] = [`berth:${runtime}.web-front.scope`, 'berth.web-front.scope'];
    expect(lines(r.output)).toEqual([
      ...[other, ours, '33554432', '1', 'goes on', '50331648', other, 'code 137', 'oom true'],
    ]);
  },
  LIMIT_MS,
);

test(
  'quadlet: units are made by daemon-reload; start, reload, restart, stop, status and journal',
  async () => {
    const r = await sh(`${UNTIL}
      d=/etc/containers/systemd; mkdir -p $d
      printf '[Volume]\\nLabel=made=byquadlet\\n' > $d/content.volume
      printf '[Network]\\nSubnet=10.231.9.0/24\\n' > $d/app.network
      printf '[Container]\\nImage=${IMG}\\nNonsense=1\\n' > $d/bad.container
      cat > $d/web.container <<X
[Unit]
Description=A web server
[Container]
Image=${IMG}
Volume=content.volume:/www
Network=app.network
PublishPort=8099:80
RunInit=true
Exec=sh -c 'echo hello from quadlet; echo page >/www/index.html; exec httpd -f -p 80 -h /www'
ReloadCmd=sh -c 'echo reloaded >/www/reloaded'
[Service]
Restart=always
RestartSec=1
[Install]
WantedBy=multi-user.target
X
      page() { until_ 'curl -sf http://127.0.0.1:8099/'; }
      systemctl daemon-reload
      systemctl start web.service; page
      systemctl is-active web.service content-volume.service app-network.service
      systemctl reload web.service; docker exec systemd-web cat /www/reloaded
      systemctl status web.service --no-pager | grep -o 'active (running)'
      systemctl restart web.service; page
      docker kill systemd-web >/dev/null; until_ '[ "$(systemctl show -P NRestarts web.service)" = 1 ]'; page
      systemctl stop web.service; systemctl is-active web.service; systemctl show -P Result web.service
      docker ps -aq
      docker volume inspect -f '{{.Labels.made}}' systemd-content
      journalctl -u web.service --no-pager -o cat | grep -c 'hello from quadlet'
      journalctl -b -t berth-generator --no-pager -o cat | head -1`);
    expect(lines(r.output)).toEqual([
      ...['page', 'active', 'active', 'active', 'reloaded', 'active (running)', 'page', 'page'],
      ...['inactive', 'success', 'byquadlet', '3'],
      '/etc/containers/systemd/bad.container:3: key "Nonsense" in [Container]: is not supported',
    ]);
  },
  LIMIT_MS,
);

test(
  'the socket starts the daemon; a daemon that hangs is ended by the watchdog, and its containers go on',
  async () => {
    const r = await sh(`${UNTIL}
      docker run -d --name keep --restart always --network none ${IMG} sh -c 'trap "echo stopped politely; exit 0" TERM; while :; do sleep 0.2; done' >/dev/null
      before=$(docker inspect -f '{{.State.Pid}}' keep)
      systemctl stop berth.service 2>/dev/null; systemctl is-active berth.service
      docker inspect -f '{{.State.Running}}' keep; systemctl is-active berth.service
      mkdir -p /run/systemd/system/berth.service.d
      printf '[Service]\\nWatchdogSec=15\\n' > /run/systemd/system/berth.service.d/fast.conf; systemctl daemon-reload; systemctl restart berth.service
      systemctl show -P WatchdogUSec berth.service
      sleep 25; systemctl is-active berth.service; systemctl show -P NRestarts berth.service
      systemctl kill -s STOP --kill-who=main berth.service
      until_ '[ "$(systemctl show -P NRestarts berth.service)" = 1 ]' || { sleep 20; systemctl show -P NRestarts berth.service; }
      until_ 'systemctl is-active -q berth.service'
      journalctl -u berth.service --no-pager -o cat | grep -c 'Watchdog timeout'
      [ "$(docker inspect -f '{{.State.Pid}}' keep)" = "$before" ] && echo same process
      rm -r /run/systemd/system/berth.service.d; systemctl daemon-reload; systemctl restart berth.service`);
    expect(lines(r.output)).toEqual(['inactive', 'true', 'active', '15s', 'active', '0', '1', 'same process']);
  },
  LIMIT_MS,
);

test(
  'journald has the output with the fields that dockerd gives it, and docker logs reads it all the same',
  async () => {
    const r = await sh(`${UNTIL}
      docker run --name j1 --network none --log-driver journald --log-opt tag=mytag --log-opt labels=L --label L=x ${IMG} sh -c 'echo one line; echo err >&2' >/dev/null 2>&1
      until_ '[ "$(journalctl CONTAINER_NAME=j1 --no-pager -o cat | wc -l)" = 2 ]'
      journalctl CONTAINER_NAME=j1 PRIORITY=6 --no-pager -o verbose | grep -owE '(MESSAGE|CONTAINER_TAG|SYSLOG_IDENTIFIER|IMAGE_NAME|L)=.*' | sort
      journalctl CONTAINER_NAME=j1 PRIORITY=3 --no-pager -o cat
      docker logs j1 2>/dev/null; docker rm j1 >/dev/null`);
    expect(lines(r.output)).toEqual([
      ...['CONTAINER_TAG=mytag', `IMAGE_NAME=${IMG}`, 'L=x', 'MESSAGE=one line', 'SYSLOG_IDENTIFIER=mytag'],
      ...['err', 'one line'],
    ]);
  },
  LIMIT_MS,
);

test('reboot: containers end by their signal and come back by their policy, in their slice; quadlet units start', async () => {
  await sh(`docker run -d --name sliced --restart always --cgroup-parent web.slice --network none ${IMG} sleep 10000
      docker run -d --name once --network none ${IMG} sleep 10000`);
  await vm.reboot();
  const r = await sh(`${UNTIL}
      until_ '[ "$(docker inspect -f "{{.State.Running}}" keep)" = true ]' && echo keep
      until_ '[ "$(docker inspect -f "{{.State.Running}}" sliced)" = true ]' && echo sliced
      cut -d/ -f2,3 /proc/$(docker inspect -f '{{.State.Pid}}' sliced)/cgroup
      docker inspect -f '{{.State.Running}}' once
      docker logs keep
      until_ 'curl -sf http://127.0.0.1:8099/'
      systemctl is-active web.service
      systemctl --failed --no-legend --no-pager --plain`);
  expect(lines(r.output)).toEqual([
    ...['keep', 'sliced', 'web.slice/berth.web.scope', 'false', 'stopped politely', 'page', 'active'],
  ]);
}, 600_000);
