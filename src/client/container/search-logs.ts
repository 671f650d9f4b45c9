/** `logs --grep`: matching lines as the daemon finds them, with the name of their container. */
import { searchLogs as search } from '#api/client/containers.ts';
import type { LogMatch } from '#api/types/logs.ts';
import { jsonLines } from '#api/client/json-stream.ts';
import { systemError } from '#errdefs/errors.ts';
import type { CommandContext } from '../command.ts';
import { OutputPort } from '../terminal/output-port.ts';
import { mayColour } from '../terminal/screen.ts';
import { nameColour } from './name-colour.ts';

export interface SearchRequest {
  readonly pattern: string;
  readonly containers: readonly string[];
  readonly since: string;
  readonly until: string;
  readonly timestamps: boolean;
}

/** 1 when nothing was found, as grep. */
export async function searchLogs(context: CommandContext, request: SearchRequest): Promise<number> {
  const { pattern, containers, since, until } = request;
  const response = await search(context.client(), { pattern, containers, since, until });
  const output = new OutputPort(1);
  const colours = mayColour(context);
  const known = new Map<string, number>();
  let found = 0;
  for await (const match of jsonLines<LogMatch & { readonly error?: string }>(response.body)) {
    if (match.error !== undefined) throw systemError(match.error);
    found++;
    if (!known.has(match.Container)) known.set(match.Container, known.size);
    await output.write(Buffer.from(shown(match, request.timestamps, colours ? (known.get(match.Container) ?? 0) : -1)));
  }
  return found > 0 ? 0 : 1;
}

function shown(match: LogMatch, timestamps: boolean, colour: number): string {
  const name = match.Removed ? `${match.Name} (removed)` : match.Name;
  const coloured = colour < 0 ? `${name} |` : `${nameColour(colour)}${name} |\u001b[0m`;
  return `${coloured} ${timestamps ? `${match.Time} ` : ''}${match.Line}\n`;
}
