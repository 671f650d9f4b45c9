/** `create`, and the part of `run` that makes the container. */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { ApiError } from '#api/client/api-error.ts';
import { createContainer } from '#api/client/containers.ts';
import type { CreateBody } from '#api/client/containers.ts';
import { pullImage } from '#api/client/images.ts';
import type { ContainerCreateResponse } from '#api/types/container.ts';
import { type CommandContext, defineCommand, ExitError, PROGRAM } from '../command.ts';
import type { FlagValues } from '../flags/flag-spec.ts';
import type { ParsedFlags } from '../flags/parse-flags.ts';
import { showProgress } from '../image/show-progress.ts';
import { splitReference } from '../image/split-reference.ts';
import { createBody } from './create-body.ts';
import { runFailure } from './exit-status.ts';
import { CREATE_FLAGS } from './run-flags.ts';

/** What `create` has; `run` has more. */
type CreateFlags = Pick<ParsedFlags<typeof CREATE_FLAGS>, 'values' | 'positionals'> & {
  readonly given: ReadonlySet<string>;
};
type Values = FlagValues<typeof CREATE_FLAGS>;

export const create = defineCommand({
  operands: 'IMAGE [COMMAND] [ARG...]',
  count: [1, Infinity],
  interspersed: false,
  flags: CREATE_FLAGS,
  async run(context, input) {
    try {
      const { Id } = await makeContainer(context, input.values, bodyOf(context, input));
      context.io.out(`${Id}\n`);
    } catch (error) {
      throw asCreateFailure(error, context.path);
    }
  },
});

/** A failure of the daemon is 1 in `create`, as in docker; a bad flag's value is 125. */
function asCreateFailure(error: unknown, path: string): unknown {
  return error instanceof ApiError || error instanceof ExitError ? error : runFailure(error, path);
}

export function bodyOf(context: CommandContext, input: CreateFlags): CreateBody {
  const [image = '', ...command] = input.positionals;
  const { values, given } = input;
  return createBody({ values, given, image, command, environment: context.environment });
}

const PULL_POLICIES = ['always', 'missing', 'never'];

/** Creates it, pulling the image first when it is missing, and writes the id file. */
export async function makeContainer(
  context: CommandContext,
  values: Values,
  body: CreateBody,
): Promise<ContainerCreateResponse> {
  const image = body.Image ?? '';
  if (!PULL_POLICIES.includes(values.pull)) {
    throw new ExitError(
      125,
      `${PROGRAM}: invalid pull option: '${values.pull}': must be one of "always", "missing" or "never"`,
    );
  }
  using idFile = new IdFile(values.cidfile);
  if (values.pull === 'always') await pull(context, image, values);
  const options = { name: values.name, platform: values.platform };
  let created: ContainerCreateResponse;
  try {
    created = await createContainer(context.client(), body, options);
  } catch (error) {
    const missing =
      error instanceof ApiError && error.kind === 'not-found' && /No such image|not found/.test(error.message);
    if (!missing || values.pull !== 'missing') throw error;
    const { repository, tag } = splitReference(image);
    if (!values.quiet) context.io.err(`Unable to find image '${repository}:${tag || 'latest'}' locally\n`);
    await pull(context, image, values);
    created = await createContainer(context.client(), body, options);
  }
  for (const warning of created.Warnings ?? []) context.io.err(`WARNING: ${warning}\n`);
  idFile.write(created.Id);
  return created;
}

async function pull(context: CommandContext, image: string, values: Values): Promise<void> {
  const { repository, tag } = splitReference(image);
  const write = (text: string) => {
    if (!values.quiet) context.io.err(text);
  };
  const messages = pullImage(context.client(), repository, tag || 'latest', values.platform);
  await showProgress(messages, { write, terminal: context.io.stdoutIsTerminal });
}

/** `--cidfile`: must not be there before, and is taken away again when no container came to be. */
class IdFile implements Disposable {
  readonly #path: string;
  #written = false;

  constructor(path: string) {
    this.#path = path;
    if (path === '') return;
    if (existsSync(path)) {
      throw new ExitError(
        125,
        `${PROGRAM}: container ID file found, make sure the other container isn't running or delete ${path}`,
      );
    }
    writeFileSync(path, '', { flag: 'wx' });
  }

  write(id: string): void {
    if (this.#path !== '') writeFileSync(this.#path, id);
    this.#written = true;
  }

  [Symbol.dispose](): void {
    if (this.#path !== '' && !this.#written) rmSync(this.#path, { force: true });
  }
}
