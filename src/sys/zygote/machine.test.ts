import { expect, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { log } from '#pkg/log/log.ts';
import { machineX64 } from './machine-x64.ts';

const assembler = spawnSync('gcc', ['--version']).status === 0 && spawnSync('objcopy', ['--version']).status === 0;
const usable = assembler && process.arch === 'x64';
if (!usable) log.warn('the machine code is not compared: needs gcc and objcopy on x86-64');

test.skipIf(!usable)('the bytes are what machine-x64.S assembles to', () => {
  const directory = mkdtempSync(`${tmpdir()}/berth-machine-`);
  const object = `${directory}/m.o`;
  const flat = `${directory}/m.bin`;
  const run = (program: string, ...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`${program}: ${stderr}`);
    return stdout;
  };
  try {
    run('gcc', '-c', '-o', object, `${import.meta.dir}/machine-x64.S`);
    run('objcopy', '-O', 'binary', '-j', '.text', object, flat);
    const hex = [...readFileSync(flat)].map((b) => b.toString(16).padStart(2, '0')).join(' ');
    expect(machineX64.hex).toBe(hex);
    const symbols = new Map(
      run('nm', object)
        .split('\n')
        .map((line) => [line.split(' ')[2], Number.parseInt(line, 16)]),
    );
    for (const [name, at] of Object.entries(machineX64.entries)) expect(symbols.get(name)).toBe(at);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
