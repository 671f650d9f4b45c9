/**
 * The disks of the test machine: Debian with systemd, cgroup v2 and AppArmor under QEMU's tcg, built once below
 * `build/` from Debian's packages. `plain` is what the smoke needs; `whole` has firewalls, a resolver, an NFS server,
 * another engine and the programs of the suites besides, installed but not started. The executable under test is on
 * neither: it lies on a second disk (machine.ts).
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { must } from '../support/command.ts';

export type Flavour = 'plain' | 'whole';

export function vmDirectory(flavour: Flavour): string {
  return path.resolve(import.meta.dirname, '../../build', flavour === 'plain' ? 'vm' : 'vm-whole');
}

/** Raise when what is built here changes. */
const REVISION: Readonly<Record<Flavour, string>> = { plain: '1', whole: '1' };
const PACKAGES = [
  ...['systemd-sysv', 'dbus', 'udev', 'kmod', 'apparmor', 'nftables', 'libseccomp2', 'libnftables1', 'busybox-static'],
  ...['procps', 'iproute2', 'strace', 'ca-certificates'],
];
const MORE_PACKAGES = [
  ...['ufw', 'firewalld', 'systemd-resolved', 'nfs-kernel-server', 'docker.io', 'iptables', 'dbus-user-session'],
  ...['netavark', 'golang-github-containers-common', 'skopeo', 'docker-registry', 'docker-compose', 'python3-docker'],
  ...['runc', 'crun', 'git', 'xz-utils', 'bzip2', 'zstd', 'attr', 'e2fsprogs', 'openssl', 'man-db', 'file', 'curl'],
];
/** Each test starts what it is about. */
const NOT_STARTED = [
  ...['docker.service', 'docker.socket', 'containerd.service', 'docker-registry.service', 'ufw.service'],
  ...['firewalld.service', 'systemd-resolved.service', 'nfs-server.service', 'rpcbind.service', 'rpcbind.socket'],
  ...['nfs-client.target', 'nfs-blkmap.service', 'man-db.timer', 'e2scrub_all.timer', 'fstrim.timer'],
];
const HOST_PACKAGES = ['qemu-system-x86', 'debootstrap', 'e2fsprogs', 'cpio', 'kmod', 'busybox-static'];
/** In this order: what ext4 on virtio needs, then 9p for the share. */
const MODULES = ['virtio_pci', 'virtio_blk', 'ext4'];

const AGENT = `#!/bin/sh
# Runs /host/cmd/N.sh of the share, one after the other; output and code go to N.out and N.rc.
modprobe 9pnet_virtio; modprobe 9p
mkdir -p /host /berth
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=none host /host
mount -o ro /dev/vdb /berth
boot=$(cat /proc/sys/kernel/random/boot_id)
echo "$boot" > /host/booted.new; mv /host/booted.new /host/booted
while :; do
  for script in /host/cmd/*.sh; do
    [ -e "$script" ] || continue
    base=\${script%.sh}
    [ -e "$base.rc" ] && continue
    [ -e "$base.started" ] && continue
    echo "$boot" > "$base.started"
    sh "$script" > "$base.out" 2>&1 < /dev/null
    echo $? > "$base.rc.new"; mv "$base.rc.new" "$base.rc"
  done
  sleep 0.2
done
`;

const UNIT = `[Unit]
Description=Runs the commands of the host
After=multi-user.target apparmor.service
[Service]
ExecStart=/usr/local/sbin/vm-agent
KillMode=process
[Install]
WantedBy=multi-user.target
`;

export interface VmImage {
  readonly kernel: string;
  readonly initrd: string;
  readonly disk: string;
}

export async function ensureVmImage(flavour: Flavour): Promise<VmImage> {
  const directory = vmDirectory(flavour);
  const image: VmImage = {
    kernel: path.join(directory, 'vmlinuz'),
    initrd: path.join(directory, 'initrd'),
    disk: path.join(directory, 'disk.img'),
  };
  const stamp = path.join(directory, 'revision');
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === REVISION[flavour]) return image;
  fs.rmSync(directory, { recursive: true, force: true });
  fs.mkdirSync(directory, { recursive: true });
  await installHostPackages();
  const rootfs = path.join(directory, 'root');
  const packages = flavour === 'plain' ? PACKAGES : [...PACKAGES, ...MORE_PACKAGES];
  await must('debootstrap', ['--variant=minbase', `--include=${packages.join(',')}`, 'bookworm', rootfs], {
    limitMs: 1_200_000,
  });
  if (flavour === 'whole') await must('chroot', [rootfs, 'systemctl', 'disable', ...NOT_STARTED]);
  const version = await unpackKernel(directory, rootfs);
  fs.copyFileSync(path.join(rootfs, `boot/vmlinuz-${version}`), image.kernel);
  configure(rootfs);
  await buildInitrd({ directory, rootfs, version, target: image.initrd });
  fs.writeFileSync(image.disk, '');
  fs.truncateSync(image.disk, (flavour === 'plain' ? 3 : 12) * 2 ** 30);
  await must('mkfs.ext4', ['-q', '-F', '-d', rootfs, image.disk], { limitMs: 300_000 });
  fs.rmSync(rootfs, { recursive: true, force: true });
  fs.writeFileSync(stamp, REVISION[flavour]);
  return image;
}

async function installHostPackages(): Promise<void> {
  const missing = HOST_PACKAGES.filter((p) => !fs.existsSync(`/var/lib/dpkg/info/${p}.list`));
  if (missing.length === 0) return;
  await must('apt-get', ['update', '-qq'], { limitMs: 300_000 });
  await must('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...missing], {
    limitMs: 600_000,
    env: { DEBIAN_FRONTEND: 'noninteractive' },
  });
}

/** Debian's kernel (the cloud flavour has no 9p), unpacked: installing it would build an initramfs inside. */
async function unpackKernel(directory: string, rootfs: string): Promise<string> {
  const depends = await must('apt-cache', ['depends', 'linux-image-amd64']);
  const name = /Depends: (linux-image-\d\S*)/.exec(depends)?.[1];
  if (name === undefined) throw new Error(`no kernel package in:\n${depends}`);
  const work = path.join(directory, 'kernel');
  fs.mkdirSync(work, { recursive: true });
  await must('apt-get', ['-o', 'APT::Sandbox::User=root', 'download', name], { cwd: work, limitMs: 300_000 });
  const deb = fs.readdirSync(work).find((f) => f.endsWith('.deb'));
  if (deb === undefined) throw new Error(`apt-get download ${name} left no package`);
  const tarball = path.join(work, 'kernel.tar');
  await must('sh', ['-c', 'dpkg-deb --fsys-tarfile "$1" > "$2"', 'sh', path.join(work, deb), tarball], {
    limitMs: 120_000,
  });
  // dpkg -x would replace the /lib link by a directory, and init is gone.
  await must('tar', ['-xf', tarball, '--keep-directory-symlink', '-C', rootfs], { limitMs: 120_000 });
  fs.rmSync(work, { recursive: true });
  const version = name.slice('linux-image-'.length);
  await must('depmod', ['-b', rootfs, version]);
  return version;
}

function configure(rootfs: string): void {
  const put = (name: string, content: string, mode = 0o644) =>
    fs.writeFileSync(path.join(rootfs, name), content, { mode });
  put('etc/hostname', 'berth-vm\n');
  put('etc/fstab', '/dev/vda / ext4 defaults 0 1\n');
  put('usr/local/sbin/vm-agent', AGENT, 0o755);
  put('etc/systemd/system/vm-agent.service', UNIT);
  const wants = path.join(rootfs, 'etc/systemd/system/multi-user.target.wants');
  fs.mkdirSync(wants, { recursive: true });
  fs.symlinkSync('/etc/systemd/system/vm-agent.service', path.join(wants, 'vm-agent.service'));
  for (const unit of ['serial-getty@ttyS0.service', 'getty@tty1.service', 'apt-daily.timer', 'apt-daily-upgrade.timer'])
    fs.symlinkSync('/dev/null', path.join(rootfs, 'etc/systemd/system', unit));
}

interface InitrdRequest {
  readonly directory: string;
  readonly rootfs: string;
  readonly version: string;
  readonly target: string;
}

async function buildInitrd({ directory, rootfs, version, target }: InitrdRequest): Promise<void> {
  const work = path.join(directory, 'initrd-root');
  for (const d of ['bin', 'dev', 'proc', 'sys', 'new', 'modules'])
    fs.mkdirSync(path.join(work, d), { recursive: true });
  fs.copyFileSync('/bin/busybox', path.join(work, 'bin/busybox'));
  const shown = await must('modprobe', ['-d', rootfs, '-S', version, '--show-depends', '-a', ...MODULES]);
  const files = [...new Set([...shown.matchAll(/^insmod (\S+)/gm)].map((m) => m[1] ?? ''))];
  const crc = (await must('find', [path.join(rootfs, 'lib/modules', version), '-name', 'crc32c_generic.ko*'])).split(
    '\n',
  )[0];
  const order = [...(crc ? [crc] : []), ...files];
  for (const f of order) fs.copyFileSync(f, path.join(work, 'modules', path.basename(f)));
  const init = [
    '#!/bin/busybox sh',
    '/bin/busybox mount -t proc proc /proc',
    '/bin/busybox mount -t sysfs sysfs /sys',
    '/bin/busybox mount -t devtmpfs dev /dev',
    ...order.map((f) => `/bin/busybox insmod /modules/${path.basename(f)}`),
    'n=0; while [ ! -e /dev/vda ] && [ $n -lt 100 ]; do /bin/busybox sleep 0.1; n=$((n+1)); done',
    '/bin/busybox mount -t ext4 /dev/vda /new || exec /bin/busybox sh',
    '/bin/busybox umount /proc; /bin/busybox umount /sys',
    '/bin/busybox mount --move /dev /new/dev',
    'exec /bin/busybox switch_root /new /sbin/init',
    '',
  ].join('\n');
  fs.writeFileSync(path.join(work, 'init'), init, { mode: 0o755 });
  await must('sh', ['-c', 'cd "$1" && find . | cpio -o -H newc --quiet > "$2"', 'sh', work, target], {
    limitMs: 60_000,
  });
  fs.rmSync(work, { recursive: true });
}
