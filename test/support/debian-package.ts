/** Peers of tests from Debian packages, installed when they are missing; no service of theirs is started. */
import * as fs from 'node:fs';
import { must } from './command.ts';

export async function ensurePackage(program: string, name: string): Promise<void> {
  if (fs.existsSync(program)) return;
  const policy = '/usr/sbin/policy-rc.d';
  const made = !fs.existsSync(policy);
  if (made) fs.writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    const env = { DEBIAN_FRONTEND: 'noninteractive' };
    await must('apt-get', ['update', '-qq'], { limitMs: 300_000 });
    await must('apt-get', ['install', '-y', '-qq', '--no-install-recommends', name], { env, limitMs: 300_000 });
  } finally {
    if (made) fs.rmSync(policy);
  }
}
