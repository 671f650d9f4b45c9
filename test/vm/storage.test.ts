/**
 * Storage and limits that need this kernel: project quotas, an NFS server, id-mapped mounts, the limits and figures of
 * cgroup v2.
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
  'size= of a volume and of a container is enforced on ext4 with project quotas',
  async () => {
    const r = await sh(`${UNTIL}
      truncate -s 300M /var/quota.img; mkfs.ext4 -q -O quota,project /var/quota.img
      mkdir -p /mnt/quota; mount -o loop,prjquota /var/quota.img /mnt/quota
      setsid berth daemon --data-root /mnt/quota/data --exec-root /run/quota -H unix:///run/quota.sock \\
        --pidfile /run/quota.pid --bridge none >/var/quota.log 2>&1 &
      D="docker -H unix:///run/quota.sock"; until_ '$D version >/dev/null 2>&1' || cat /var/quota.log
      $D load -q -i /berth/busybox.tar >/dev/null
      $D volume create --opt size=10m small >/dev/null
      $D run --rm --network none -v small:/v ${IMG} sh -c 'dd if=/dev/zero of=/v/f bs=1M count=20 2>&1 | grep -o "Disk quota exceeded"; df -k /v | tail -1 | xargs | cut -d" " -f2'
      $D run --rm --network none --storage-opt size=8m ${IMG} sh -c 'dd if=/dev/zero of=/f bs=1M count=20 2>&1 | grep -o "Disk quota exceeded"; [ $(stat -c %s /f) -le 8388608 ] && echo within'
      kill $(cat /run/quota.pid); until_ '! [ -e /run/quota.pid ]'; until_ 'umount /mnt/quota 2>/dev/null' && echo unmounted`);
    expect(lines(r.output)).toEqual([
      ...['Disk quota exceeded', '10240', 'Disk quota exceeded', 'within', 'unmounted'],
    ]);
  },
  LIMIT_MS,
);

test(
  'a volume of type nfs is mounted from a real server',
  async () => {
    const r = await sh(`
      modprobe nfsd; mkdir -p /srv/nfs; echo '/srv/nfs 127.0.0.1(rw,no_root_squash,insecure,no_subtree_check,fsid=0)' > /etc/exports
      systemctl start rpcbind.service nfs-server.service; exportfs -ra
      docker volume create --opt type=nfs --opt o=addr=127.0.0.1,rw,nfsvers=4 --opt device=:/ shared >/dev/null
      docker run --rm --network none -v shared:/n ${IMG} sh -c 'echo over nfs >/n/file; grep -o " /n nfs4 " /proc/mounts'
      cat /srv/nfs/file; grep -c nfs4 /proc/mounts; docker volume rm shared >/dev/null && echo removed
      docker volume create --opt type=nfs --opt o=addr=127.0.0.1,nfsvers=4 --opt device=:/nosuch lost >/dev/null
      docker run --rm --network none -v lost:/n ${IMG} true 2>&1 | grep -c 'no such file or directory'; docker volume rm lost >/dev/null
      systemctl stop nfs-server.service rpcbind.service rpcbind.socket`);
    expect(lines(r.output)).toEqual(['/n nfs4 ', 'over nfs', '0', 'removed', '1']);
  },
  LIMIT_MS,
);

test(
  'userns auto: ids of its own, layers and volumes id-mapped',
  async () => {
    const r = await sh(`
      berth run --rm --network none --userns auto -v mapped:/v ${IMG} sh -c 'id -u; cut -c 12- /proc/self/uid_map | xargs; echo x >/v/f; stat -c %u /v /v/f /etc/passwd; touch /new && stat -c %u /new'
      stat -c %u $(docker volume inspect -f '{{.Mountpoint}}' mapped)/f
      berth run -d --name aa --network none --userns auto ${IMG} sleep 1000 >/dev/null; berth run -d --name bb --network none --userns auto ${IMG} sleep 1000 >/dev/null
      for c in aa bb; do awk '{print $2}' /proc/$(docker inspect -f '{{.State.Pid}}' $c 2>/dev/null)/uid_map 2>/dev/null; done | sort -u | wc -l
      docker rm -f aa bb >/dev/null`);
    const [inside, map, ...rest] = lines(r.output);
    expect([inside, map?.split(' ').at(-1)]).toEqual(['0', '65536']);
    expect(Number(map?.split(' ')[0])).toBeGreaterThan(65_535);
    expect(rest.slice(0, 5)).toEqual(['0', '0', '0', '0', '0']);
  },
  LIMIT_MS,
);

test(
  'limits of v2 stand in the group: memory, swap, cpu, cpuset, io; pressure is told',
  async () => {
    const r = await sh(`
      docker run -d --name lim --network none --device-write-bps /dev/vda:1mb --memory 64m --memory-swap 128m --memory-reservation 32m --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 --blkio-weight 300 --pids-limit 50 ${IMG} sleep 1000 >/dev/null
      docker exec lim sh -c 'cd /sys/fs/cgroup; cat io.max memory.max memory.swap.max memory.low cpu.max cpu.weight cpuset.cpus pids.max'
      curl -s --unix-socket /run/berth.sock http://berth/metrics | grep -cE 'berth_container_pressure_seconds_total[{].*(cpu|memory|io)'
      docker inspect -f '{{.AppArmorProfile}}' lim; docker exec lim cat /proc/self/attr/current
      docker update --memory 96m --memory-swap 96m --cpus 1 lim >/dev/null; docker exec lim sh -c 'cd /sys/fs/cgroup; cat memory.max memory.swap.max cpu.max'
      docker rm -f lim >/dev/null`);
    const [io, ...rest] = lines(r.output);
    expect(io).toMatch(/^\d+:0 rbps=max wbps=1048576 riops=max wiops=max$/);
    const [pressure] = rest.splice(7, 1);
    expect(rest).toEqual([
      ...['67108864', '67108864', '33554432', '50000 100000', '59', '0', '50'],
      ...['berth-default', 'berth-default (enforce)', '100663296', '0', '100000 100000'],
    ]);
    expect(Number(pressure)).toBeGreaterThan(0);
  },
  LIMIT_MS,
);

test(
  'swap: what is over the limit of memory goes there, and no further than its own',
  async () => {
    const r = await sh(`
      dd if=/dev/zero of=/var/swap bs=1M count=256 2>/dev/null; chmod 600 /var/swap; mkswap /var/swap >/dev/null; swapon /var/swap
      docker run --rm --network none --memory 24m --memory-swap 96m --tmpfs /t:size=80m ${IMG} sh -c 'dd if=/dev/zero of=/t/f bs=1M count=50 2>/dev/null; [ $(cat /sys/fs/cgroup/memory.swap.current) -gt 20000000 ] && echo swapped'
      docker run --name full --network none --memory 24m --memory-swap 24m --tmpfs /t:size=80m ${IMG} dd if=/dev/zero of=/t/f bs=1M count=50 2>/dev/null; echo "code $?"
      docker inspect -f '{{.State.OOMKilled}}' full; docker rm full >/dev/null
      swapoff /var/swap; rm /var/swap`);
    expect(lines(r.output)).toEqual(['swapped', 'code 137', 'true']);
  },
  LIMIT_MS,
);
