/**
 * The executable as a user has it installed in the test machine: in /usr/local/bin, with the units of contrib/ and the
 * generator, its service running, the test image loaded.
 */
import * as path from 'node:path';
import { busyboxImage } from '../support/base-images.ts';
import { must } from '../support/command.ts';
import type { Flavour } from './image.ts';
import { dockerCli, type GuestResult, Machine } from './machine.ts';

const root = path.resolve(import.meta.dirname, '../..');
const UNITS = ['berth.socket', 'berth.service', 'berth-shutdown.service'];

export const IMG = 'berth.test/busybox:1';

/** Of each test. */
export const LIMIT_MS = 300_000;

/** `older`: an executable that is installed first, instead of today's; that one stays at /berth/berth. */
export async function bootInstalled(flavour: Flavour, older?: string): Promise<Machine> {
  await must('npm', ['run', 'build'], { cwd: root, limitMs: 180_000 });
  const image = await busyboxImage();
  const contrib = [...UNITS, 'berth-generator'].map((name) => [name, path.join(root, 'contrib', name)] as const);
  const vm = await Machine.boot({
    payload: {
      berth: path.join(root, 'dist/berth'),
      ...(older === undefined ? {} : { older }),
      docker: dockerCli(),
      'busybox.tar': image.path,
      ...Object.fromEntries(contrib),
    },
    flavour,
  });
  try {
    await vm.must(
      [
        'set -e',
        `install -m 755 /berth/${older === undefined ? 'berth' : 'older'} /usr/local/bin/berth`,
        'install -m 755 /berth/docker /usr/local/bin; groupadd --system berth',
        'cp /berth/*.service /berth/*.socket /etc/systemd/system/',
        'install -D -m 755 /berth/berth-generator /usr/lib/systemd/system-generators/berth-generator',
        'systemctl daemon-reload',
        'systemctl enable --now berth.socket berth.service berth-shutdown.service',
        'DOCKER_HOST=unix:///run/berth.sock docker load -q -i /berth/busybox.tar',
      ].join('\n'),
      LIMIT_MS,
    );
  } catch (error) {
    await vm[Symbol.asyncDispose]();
    throw error;
  }
  return vm;
}

/** A shell in the guest whose docker speaks to the service. */
export function shell(vm: Machine): (script: string, limitMs?: number) => Promise<GuestResult> {
  return (script, limitMs = LIMIT_MS) => vm.run(`export DOCKER_HOST=unix:///run/berth.sock\n${script}`, limitMs);
}

/** Shell: repeats a condition for half a minute and fails when it never comes true. */
export const UNTIL = 'until_() { n=0; until eval "$1"; do n=$((n+1)); [ $n -gt 100 ] && return 1; sleep 0.3; done; }';
