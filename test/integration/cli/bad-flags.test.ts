/** Values that no daemon needs to be asked about: the stock CLI and ours say the same, and end with the same code. */
import { expect, test } from 'bun:test';
import * as path from 'node:path';
import { run } from '../../support/command.ts';

const BERTH = path.resolve(import.meta.dirname, '../../../berth');
const NOWHERE = 'unix:///nosuch/berth.sock';

const RUN = [
  '--rm --restart always',
  '--memory-swappiness 101',
  '--log-driver none --log-opt a=b',
  '--restart a:b:c',
  '--restart no:x',
  '-d -a stdout',
  '--pid x',
  '--uts x',
  '--userns x',
  '--cgroupns x',
  '--storage-opt a',
  '--health-interval -1s',
  '--health-retries -1',
  '--no-healthcheck --health-cmd x',
  '--sysctl a=b',
  '--mac-address zz',
  '-p x:y',
  '-p 1-3:4-5',
  '-p 80/nosuch',
  '-p 1.2.3:80:80',
  '--env-file /nosuch',
  '--env-file /etc',
  '--label-file /nosuch',
  '-e =x',
  '--security-opt seccomp=/nosuch',
  '--security-opt nosuch',
  '--add-host a',
  '--add-host a:b',
  '--shm-size -1',
  '--memory 1x',
  '--cpus x',
  '--cpu-shares x',
  '--cidfile /proc/nosuch/x',
  '--pull x',
  '--gpus x=y',
  '--ulimit x',
  '--ulimit nofile=2:1',
  '--device-read-bps x',
  '--device-write-iops /dev/sda:x',
  '--blkio-weight-device /dev/sda:5',
  '--platform a/b/c/d',
  '--network bridge --network-alias x',
  '--network name=a,nosuch=b',
  '--mount type=nosuch,dst=/x',
  '--mount type=bind,src=/a',
  '--mount nosuch',
  '--dns x',
  '--stop-timeout x',
  '--nosuchflag',
  '-x',
  '-a nosuch',
  '--isolation',
  '--oom-score-adj x',
  '--tty=maybe',
];
const OTHERS = [
  'exec',
  'exec -d',
  'kill',
  'logs',
  'rename a',
  'rename a b c',
  'inspect',
  'cp a b',
  'cp a:/x b:/y',
  'cp - -',
  'tag a',
  'tag UPPER:1 a',
  'rmi',
  'save',
  'update a',
  'volume create a b',
  'volume rm',
  'network create',
  'network connect a',
  'container ls extra',
  'container nosuch',
  'network nosuch',
  'nosuch',
  'ps --nosuch',
  'ps -Z',
  'stop -t x a',
  'wait',
  'events --filter nosuch',
  'images a b',
  'history',
  'import',
  'login --password x --password-stdin',
  'search',
  'system prune --filter nosuch',
];
/** Where ours takes more names, says more, or where the stock CLI has a misprint ("SRun"). */
const OWN_WORDS: ReadonlySet<string> = new Set(['logs', 'volume create a b', 'images a b', 'import']);

function normal(text: string): string {
  return text
    .replaceAll(/\bBerth\b/g, 'Docker')
    .replaceAll(/\bberth\b/g, 'docker')
    .replace(/\nStart it by .*/, '') // what to do is ours to say
    .trimEnd();
}

async function said(program: string, args: readonly string[]) {
  const env = { DOCKER_HOST: NOWHERE, BERTH_HOST: NOWHERE, DOCKER_CONFIG: '/nosuch', DOCKER_CLI_HINTS: 'false' };
  const { code, stdout, stderr } = await run(program, args, { env });
  return { code, stdout: normal(stdout), stderr: normal(stderr) };
}

const lines = [...RUN.map((flags) => `run ${flags} img`), ...OTHERS];

for (const line of lines) {
  test(line, async () => {
    const args = line.split(' ');
    const [docker, berth] = await Promise.all([said('docker', args), said(BERTH, args)]);
    if (OWN_WORDS.has(line))
      expect({ code: berth.code, said: berth.stderr !== '' }).toEqual({ code: docker.code, said: true });
    else expect(berth).toEqual(docker);
  });
}
