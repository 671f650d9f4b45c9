/**
 * Every command and flag that docker's client has on Linux: here, with help, or answered with what to use instead.
 * `docker-commands.json` lists them (docker/cli 29.7).
 */
import { expect, test } from 'bun:test';
import { COMMANDS, findCommand, GROUPS } from '#client/command-table.ts';
import { runCli } from '#client/main.ts';
import commands from './docker-commands.json' with { type: 'json' };

async function berth(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const said = { out: '', err: '' };
  const io = {
    out: (text: string) => void (said.out += text),
    err: (text: string) => void (said.err += text),
    stdinIsTerminal: false,
    stdoutIsTerminal: false,
  };
  const code = await runCli({ argv, environment: { HOME: '/nonexistent' }, io });
  return { code, ...said };
}

/** Of Swarm, managed plugins and checkpoints. */
const ELSEWHERE = /^(?:swarm|service|stack|node|config|plugin|checkpoint)\b/;
/** Plugins of docker's client. */
const PLUGINS = new Set(['bake']);

for (const [name, flags] of Object.entries(commands)) {
  const words = name.split(' ');
  if (PLUGINS.has(name)) continue;
  if (ELSEWHERE.test(name)) {
    test(`docker ${name}: what to use instead`, async () => {
      const { code, out, err } = await berth(...words);
      expect({ code, out }).toEqual({ code: 1, out: '' });
      expect(err).toContain(`"berth ${words[0] ?? ''}" needs`);
    });
    continue;
  }
  if (Object.hasOwn(GROUPS, name)) {
    test(`docker ${name}: a group with help`, async () => {
      const { code, out } = await berth(...words, '--help');
      expect(code).toBe(0);
      expect(out).toStartWith(`Usage:  berth ${name} COMMAND`);
    });
    continue;
  }
  test(`docker ${name}`, async () => {
    const found = findCommand(words);
    expect(found?.path).toBe(name);
    const command = await found?.entry.load();
    const known = Object.keys(command?.flags ?? {});
    expect(flags.filter((flag) => !known.includes(flag))).toEqual([]);
    const { code, out } = await berth(...words, '--help');
    expect(code).toBe(0);
    expect(out).toStartWith(`Usage:  berth ${name}`);
  });
}

for (const { names } of COMMANDS) {
  const [name] = names;
  test(`berth ${name}: a flag that is not known`, async () => {
    const { code, err } = await berth(...name.split(' '), '--no-such-flag');
    expect(code).toBe(125);
    expect(err).toStartWith(`unknown flag: --no-such-flag\n\nUsage:  berth ${name}`);
  });
}
