/**
 * An older build is replaced by today's under systemd while its containers run: they go on, and everything that is done to
 * containers works on them. The older one is built from git; BERTH_VM_OLDER names another revision.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { must } from '../support/command.ts';
import { bootInstalled, IMG, LIMIT_MS, shell, UNTIL } from './installed.ts';
import type { GuestResult, Machine } from './machine.ts';

const OLDER = process.env['BERTH_VM_OLDER'] ?? 'HEAD~200';
const root = path.resolve(import.meta.dirname, '../..');
let vm: Machine;
let sh: (script: string, limitMs?: number) => Promise<GuestResult>;

async function buildOlder(directory: string): Promise<string> {
  await must('sh', ['-c', 'git archive "$1" | tar -x -C "$2"', 'sh', OLDER, directory], { cwd: root });
  fs.symlinkSync(path.join(root, 'node_modules'), path.join(directory, 'node_modules'));
  await must(process.execPath, ['tools/build.ts'], { cwd: directory, limitMs: 180_000 });
  return path.join(directory, 'dist/berth');
}

beforeAll(async () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-older-'));
  try {
    vm = await bootInstalled('whole', await buildOlder(directory));
  } finally {
    fs.rmSync(directory, { recursive: true });
  }
  sh = shell(vm);
}, 1_800_000);
afterAll(async () => {
  await vm?.[Symbol.asyncDispose]();
}, 60_000);

const lines = (text: string): string[] => text.trim().split('\n');
/** Shell: what must be the same before and after. */
const FACTS = `facts() { for c in web loop peer term sick; do
  docker inspect -f '{{.Name}} {{.State.Pid}} {{.State.StartedAt}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' $c; done; }`;

test(
  'containers of an older build go on with their pids and addresses; one that ended meanwhile tells its code',
  async () => {
    const r = await sh(`${UNTIL}\n${FACTS}
      docker network create app >/dev/null; docker volume create content >/dev/null
      docker run -d --name web --restart always -m 64m -p 8080:80 -v content:/www ${IMG} sh -c 'echo page >/www/index.html; exec httpd -f -p 80 -h /www' >/dev/null
      docker run -d --name loop --network app --network-alias lp ${IMG} sh -c 'trap "echo polite; exit 3" TERM; i=0; while :; do i=$((i+1)); echo line $i; sleep 0.5; done' >/dev/null
      docker run -d --name peer --network app ${IMG} sleep 100000 >/dev/null; docker exec -d peer sleep 50000
      docker run -dit --name term ${IMG} sh >/dev/null
      docker run -d --name sick --health-cmd 'test -e /ok' --health-interval 1s ${IMG} sh -c 'touch /ok; sleep 100000' >/dev/null
      docker run -d --name ends ${IMG} sh -c 'while [ ! -e /go ]; do sleep 0.1; done; echo said; exit 7' >/dev/null
      facts >/tmp/before; ends=$(docker inspect -f '{{.State.Pid}}' ends)
      systemctl stop berth.socket berth.service
      touch /proc/$ends/root/go; until_ '! kill -0 $ends 2>/dev/null'
      install -m 755 /berth/berth /usr/local/bin/berth.new; mv /usr/local/bin/berth.new /usr/local/bin/berth
      systemctl start berth.socket berth.service
      facts >/tmp/after; diff /tmp/before /tmp/after && echo as before
      docker wait ends; docker logs ends`);
    expect(lines(r.output)).toEqual(['as before', '7', 'said']);
  },
  LIMIT_MS,
);

test(
  'they are reached, logged, counted, changed, stopped by their signal and removed like any other',
  async () => {
    const r = await sh(
      `${UNTIL}
      curl -s http://127.0.0.1:8080/
      docker exec loop ping -c 1 -w 9 peer | grep -c 'bytes from'; docker exec peer ping -c 1 -w 9 lp | grep -c 'bytes from'
      docker top peer | grep -c sleep; docker stats --no-stream --format '{{.PIDs}}' web
      old=$(docker logs loop | wc -l); until_ '[ $(docker logs loop | wc -l) -gt $old ]' && echo logs go on
      docker logs loop | awk '$2 != NR { print "gap at line " NR }'
      until_ '[ "$(docker inspect -f {{.State.Health.Status}} sick)" = healthy ]' && echo healthy
      docker update -m 80m --memory-swap 160m web >/dev/null; docker exec web cat /sys/fs/cgroup/memory.max
      docker stop -t 20 loop >/dev/null; docker inspect -f '{{.State.ExitCode}}' loop; docker logs --tail 1 loop
      docker pause peer >/dev/null; docker unpause peer >/dev/null; docker restart -t 0 web >/dev/null; until_ 'curl -sf http://127.0.0.1:8080/'
      docker network disconnect app peer; docker network connect app peer; docker start loop >/dev/null
      docker exec loop ping -c 1 -w 9 peer | grep -c 'bytes from'
      docker rm -f web loop peer term sick ends >/dev/null; docker network rm app >/dev/null; docker volume rm content >/dev/null
      docker run --rm ${IMG} echo fresh
      find /sys/fs/cgroup -path '*berth*' -type d | grep -E '[0-9a-f]{64}'; grep overlay /proc/mounts; ls /sys/class/net | grep veth
      journalctl -u berth.service --no-pager -o cat | grep '"level":"error"'; echo end`,
      LIMIT_MS,
    );
    expect(lines(r.output)).toEqual([
      ...['page', '1', '1', '2', '1', 'logs go on', 'healthy', '83886080', '3', 'polite', 'page', '1'],
      ...['fresh', 'end'],
    ]);
  },
  LIMIT_MS,
);
