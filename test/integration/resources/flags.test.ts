/**
 * Every flag of `docker run` (28.2, without those of Windows) that no other test of this folder shows at work: honoured,
 * as seen from inside or by inspect, or refused by its name.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
let file: string;
beforeAll(async () => {
  d = await TestDaemon.start();
  file = `${d.directory}/variables`;
  fs.writeFileSync(file, 'FROM=file\n');
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

/** Flags; a script inside, or a template of inspect; what it prints. FILE is a file with FROM=file. */
const honoured: readonly (readonly [flags: string, look: string, printed: string | RegExp])[] = [
  ['--add-host box:10.1.2.3', 'grep box /etc/hosts', /^10\.1\.2\.3\s+box$/],
  ['--annotation a=b', '{{json .HostConfig.Annotations}}', '{"a":"b"}'],
  ['--attach stdout', 'echo out; echo err >&2', 'out'],
  ['--cap-add SYS_ADMIN --cap-drop ALL', 'grep CapEff /proc/self/status', /0000000000200000$/],
  [
    '--device-read-bps /dev/loop0:1mb',
    '{{json .HostConfig.BlkioDeviceReadBps}}',
    '[{"Path":"/dev/loop0","Rate":1048576}]',
  ],
  [
    '--device-write-bps /dev/loop0:2mb',
    '{{json .HostConfig.BlkioDeviceWriteBps}}',
    '[{"Path":"/dev/loop0","Rate":2097152}]',
  ],
  ['--device-read-iops /dev/loop0:7', '{{json .HostConfig.BlkioDeviceReadIOps}}', '[{"Path":"/dev/loop0","Rate":7}]'],
  ['--device-write-iops /dev/loop0:8', '{{json .HostConfig.BlkioDeviceWriteIOps}}', '[{"Path":"/dev/loop0","Rate":8}]'],
  [
    '--dns 10.9.8.7 --dns-search x.test --dns-option ndots:3',
    'cat /etc/resolv.conf',
    /nameserver 10\.9\.8\.7[^]*search x\.test[^]*ndots:3|search x\.test[^]*nameserver 10\.9\.8\.7[^]*ndots:3/,
  ],
  ['--domainname d.test -h box', 'hostname -f', 'box.d.test'],
  ['--entrypoint echo', 'sh', /./],
  ['-e A=1 --env-file FILE', 'echo $A $FROM', '1 file'],
  ['--expose 80', '{{json .Config.ExposedPorts}}', '{"80/tcp":{}}'],
  ['--init', 'cat /proc/1/comm', /init/],
  ['-l a=1 --label-file FILE', '{{json .Config.Labels}}', '{"FROM":"file","a":"1"}'],
  [
    '--log-driver json-file --log-opt max-size=1m',
    '{{json .HostConfig.LogConfig}}',
    '{"Type":"json-file","Config":{"max-size":"1m"}}',
  ],
  ['--mount type=tmpfs,target=/t,tmpfs-size=1m', 'df -k /t | tail -1 | tr -s " " | cut -d" " -f2', '1024'],
  ['--network none', 'ls /sys/class/net', 'lo'],
  ['--no-healthcheck', '{{json .Config.Healthcheck.Test}}', '["NONE"]'],
  ['--privileged', 'ls -d /dev/loop-control', '/dev/loop-control'],
  ['--read-only', 'touch /x 2>&1', /Read-only file system/],
  ['--restart on-failure:3', '{{json .HostConfig.RestartPolicy}}', '{"Name":"on-failure","MaximumRetryCount":3}'],
  ['--runtime berth', '{{.HostConfig.Runtime}}', 'berth'],
  ['--security-opt no-new-privileges', 'grep NoNewPrivs /proc/self/status', /1$/],
  ['--security-opt systempaths=unconfined', 'mount | grep -c " /proc/bus "', '0'],
  ['--stop-signal USR1 --stop-timeout 7', '{{.Config.StopSignal}} {{.Config.StopTimeout}}', 'USR1 7'],
  ['--tmpfs /t:size=1m', 'df -k /t | tail -1 | tr -s " " | cut -d" " -f2', '1024'],
  ['-t', 'tty', '/dev/pts/0'],
  ['-u 12:34', 'id -u; id -g', '12\n34'],
  ['-v /usr/share:/s:ro', 'touch /s/x 2>&1', /Read-only file system/],
  ['-w /tmp', 'pwd', '/tmp'],
];

test.each(honoured)(
  '%s',
  async (flags, look, printed) => {
    const words = flags.split(' ').map((word) => (word === 'FILE' ? file : word));
    let text: string;
    if (look.startsWith('{{')) {
      const id = await d.must(['create', ...words, IMG, 'true']);
      text = await d.must(['inspect', '-f', look, id]);
      await d.must(['start', id]);
      await d.must(['rm', '-f', id]);
    } else {
      text = (await d.docker(['run', '--rm', ...words, IMG, 'sh', '-c', look], { input: '' })).stdout
        .trim()
        .replaceAll('\r', '');
    }
    if (typeof printed === 'string') expect(text).toBe(printed);
    else expect(text).toMatch(printed);
  },
  30_000,
);

test.each([
  ['--isolation hyperv', 'isolation'],
  ['--log-driver nosuch', 'nosuch'],
  ['--runtime nosuch', 'unknown or invalid runtime name: nosuch'],
  ['--security-opt label=type:x', 'SELinux labels'],
  ['--security-opt nosuch=1', 'invalid --security-opt 2: "nosuch=1"'],
  ['--ulimit nofile=5:5 --oom-score-adj 2000', 'range for oom score adj is [-1000, 1000]'],
  ['--device-read-bps /dev/nosuch:1mb', '/dev/nosuch'],
])(
  '%s is refused by name',
  async (flags, message) => {
    const r = await d.docker(['run', '--rm', ...flags.split(' '), IMG, 'true']);
    expect(r.code).not.toBe(0);
    expect(r.stderr).toContain(message);
  },
  30_000,
);
