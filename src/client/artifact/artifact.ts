/** `artifact add`, `ls`, `extract` and `rm`, with podman's grammar. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import {
  createArtifact,
  inspectArtifact,
  listArtifacts,
  readArtifactFile,
  removeArtifact,
  uploadArtifactFile,
} from '#api/client/artifacts.ts';
import type { ArtifactSummary } from '#api/types/artifact.ts';
import { humanSize } from '#pkg/units/size.ts';
import { defineCommand, ExitError } from '../command.ts';
import { formatFlag, formatOr, noTruncFlag, quietFlag } from '../common-flags.ts';
import { toRecord } from '../container/variables.ts';
import { forEachName } from '../each.ts';
import { flag, list, text } from '../flags/flag-spec.ts';
import { ago } from '../format/human.ts';
import { printListing } from '../format/listing.ts';
import { splitReference } from '../image/split-reference.ts';

const MS_PER_SECOND = 1000;
const SHORT_DIGEST = 12;
const NAME_BYTES_MAX = 255;

export const add = defineCommand({
  operands: 'ARTIFACT FILE [FILE...]',
  count: [2, Infinity],
  flags: {
    annotation: list('Set an annotation (key=value) of the artifact'),
    'file-type': text('Media type of the files', { initial: 'application/octet-stream' }),
    replace: flag('If an artifact with the same name exists, replace it', { shorthand: 'r' }),
    type: text('Type of the artifact'),
  },
  examples: ['berth artifact add registry.test/models/small:1 weights.bin tokenizer.json'],
  async run(context, { values, positionals: [name = '', ...files] }) {
    const client = context.client();
    const uploaded: { Title: string; Digest: string; MediaType: string }[] = [];
    for (const file of files) {
      if (!fs.statSync(file, { throwIfNoEntry: false })?.isFile()) throw new ExitError(1, `${file}: no such file`);
      const { Digest } = await uploadArtifactFile(client, Bun.file(file));
      uploaded.push({ Title: path.basename(file), Digest, MediaType: values['file-type'] });
    }
    const { Digest } = await createArtifact(client, {
      Name: name,
      Type: values.type,
      Annotations: toRecord(values.annotation),
      Files: uploaded,
      Replace: values.replace,
    });
    context.io.out(`${Digest}\n`);
  },
});

const HEADINGS = {
  Repository: 'REPOSITORY',
  Tag: 'TAG',
  Digest: 'DIGEST',
  CreatedAt: 'CREATED',
  Size: 'SIZE',
  Name: 'NAME',
  Type: 'TYPE',
  Files: 'FILES',
};

export const ls = defineCommand({
  operands: '',
  count: [0, 0],
  flags: { format: formatFlag(), 'no-trunc': noTruncFlag(), quiet: quietFlag('Only display names') },
  async run(context, { values }) {
    const now = Date.now();
    const rows = (await listArtifacts(context.client())).map((one) => rowOf(one, values['no-trunc'], now));
    const columns = ['Repository', 'Tag', 'Digest', 'CreatedAt', 'Size'];
    const listing = { rows, columns, headings: HEADINGS, quietField: 'Name' };
    context.io.out(printListing(listing, formatOr(context, values, 'artifactFormat')));
  },
});

function rowOf(one: ArtifactSummary, whole: boolean, now: number): Readonly<Record<string, string | number>> {
  const { repository, tag } = splitReference(one.Name);
  const hex = one.Digest.slice('sha256:'.length);
  return {
    Name: one.Name,
    Repository: repository,
    Tag: tag,
    Digest: whole ? one.Digest : hex.slice(0, SHORT_DIGEST),
    CreatedAt: ago(Date.parse(one.CreatedAt) / MS_PER_SECOND, now),
    Size: humanSize(one.Size, 3),
    Type: one.ArtifactType,
    Files: one.Files.length,
  };
}

export const rm = defineCommand({
  operands: 'ARTIFACT [ARTIFACT...]',
  count: [0, Infinity],
  flags: { all: flag('Remove all artifacts', { shorthand: 'a' }) },
  async run(context, { values, positionals }) {
    if (values.all === positionals.length > 0) {
      throw new ExitError(1, 'name ARTIFACT to remove, or --all, but not both');
    }
    const client = context.client();
    const names = values.all ? (await listArtifacts(client)).map(({ Name }) => Name) : positionals;
    return forEachName(context, names, async (name) => (await removeArtifact(client, name)).Digest);
  },
});

export const extract = defineCommand({
  operands: 'ARTIFACT PATH',
  count: [2, 2],
  flags: {
    digest: text('Only the file with this digest'),
    title: text('Only the file with this title'),
  },
  async run(context, { values, positionals: [name = '', target = ''] }) {
    if (values.digest !== '' && values.title !== '') throw new ExitError(1, 'give a digest or a title, not both');
    const client = context.client();
    const wanted = values.title === '' ? values.digest : values.title;
    const { Digest } = await inspectArtifact(client, name);
    const artifact = (await listArtifacts(client)).find((one) => one.Digest === Digest);
    const files = (artifact?.Files ?? []).filter(
      ({ Title, Digest: digest }) => wanted === '' || Title === wanted || digest === wanted,
    );
    const isDirectory = fs.statSync(target, { throwIfNoEntry: false })?.isDirectory() === true;
    if (files.length > 1 && !isDirectory)
      throw new ExitError(1, `${target}: is no directory, and there are ${files.length} files`);
    if (files.length === 0) throw new ExitError(1, `artifact ${name} has no file ${JSON.stringify(wanted)}`);
    for (const { Title, Digest: digest } of files) {
      const file = isDirectory ? path.join(target, safeName(Title, digest)) : target;
      const response = await readArtifactFile(client, name, digest);
      // Written beside and renamed: what is there already may be a link that leads elsewhere.
      const making = path.join(path.dirname(file), `.berth-${process.pid}`);
      try {
        await Bun.write(making, response);
        fs.renameSync(making, file);
      } finally {
        fs.rmSync(making, { force: true });
      }
    }
  },
});

/** Titles come from whoever made the artifact: never a way out of the directory. */
function safeName(title: string, digest: string): string {
  const name = title.split('/').at(-1) ?? '';
  const usable = name !== '' && name !== '.' && name !== '..' && !/[\0-\x1f\x7f]/.test(name);
  return usable && Buffer.byteLength(name) <= NAME_BYTES_MAX ? name : digest.replace(':', '-');
}
