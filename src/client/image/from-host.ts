/** `image from-host`: an image without any registry, from programs that this machine has. */
import { closeSync, openSync, writevSync } from 'node:fs';
import type { ApiClient } from '#api/client/api-client.ts';
import { loadImages } from '#api/client/images.ts';
import { defineCommand, ExitError } from '../command.ts';
import { flag, list, text } from '../flags/flag-spec.ts';
import { HostFileCollector } from '../host-image/host-files.ts';
import { type HostImage, hostImage } from '../host-image/image-archive.ts';
import { showProgress } from './show-progress.ts';
import { splitReference } from './split-reference.ts';

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };
const FILE_MODE = 0o644;

export const fromHost = defineCommand({
  operands: 'NAME[:TAG] PROGRAM [PROGRAM...]',
  count: [2, Infinity],
  flags: {
    cmd: list(
      'Default command of the image, one word each (default: a shell if there is one, else the first program)',
      {
        typeName: 'word',
      },
    ),
    file: list('Also take this file, as it is', { typeName: 'path' }),
    output: text('Write the archive to a file instead of loading it', { shorthand: 'o' }),
    quiet: flag('Print only the image id', { shorthand: 'q' }),
  },
  examples: ['berth image from-host base busybox', 'berth image from-host tools bash ls cat ps curl'],
  async run(context, { values, positionals: [name = '', ...programs] }) {
    const image = imageOfPrograms(name, programs, {
      path: context.environment['PATH'],
      files: values.file,
      command: values.cmd,
    });
    if (values.output !== '') writeArchive(values.output, image);
    else {
      const write = (part: string) => {
        if (!values.quiet) context.io.out(part);
      };
      await showProgress(loadHostImage(context.client(), image), { write, columns: undefined });
    }
    if (values.quiet || values.output !== '') context.io.out(`${image.id}\n`);
  },
});

interface HostImageOptions {
  /** Where programs are looked for. */
  readonly path: string | undefined;
  readonly files?: readonly string[];
  readonly command?: readonly string[];
}

/** @throws when a program is not on this machine */
export function imageOfPrograms(name: string, programs: readonly string[], options: HostImageOptions): HostImage {
  const { path, files = [], command = [] } = options;
  const collector = new HostFileCollector(path);
  const paths = programs.map((program) => collector.addProgram(program));
  collector.addShell(paths);
  for (const file of files) collector.addFile(file);
  const { repository, tag } = splitReference(name);
  const collected = collector.files();
  const hasShell = collected.has('/usr/bin/sh') || collected.has('/bin/sh');
  return hostImage({
    files: collected,
    reference: `${repository}:${tag === '' ? 'latest' : tag}`,
    command: command.length > 0 ? command : defaultCommand(paths, hasShell),
    architecture: ARCHITECTURES[process.arch] ?? process.arch,
    createdBy: `berth image from-host ${programs.join(' ')}`,
  });
}

export function loadHostImage(client: ApiClient, image: HostImage): ReturnType<typeof loadImages> {
  return loadImages(client, new Blob([...image.pieces].map((piece) => new Uint8Array(piece))), true);
}

function defaultCommand(paths: readonly string[], hasShell: boolean): readonly string[] {
  return [hasShell ? 'sh' : (paths[0] ?? 'sh')];
}

function writeArchive(path: string, image: HostImage): void {
  const fd = openSync(path, 'w', FILE_MODE);
  try {
    for (const piece of image.pieces) {
      for (let rest = piece; rest.length > 0; ) rest = rest.subarray(writevSync(fd, [rest]));
    }
  } catch (error) {
    throw new ExitError(1, `Cannot write "${path}": ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    closeSync(fd);
  }
}
