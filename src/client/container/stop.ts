/** `stop` and `restart`. */
import { restartContainer, type StopOptions, stopContainer } from '#api/client/containers.ts';
import { defineCommand } from '../command.ts';
import { forEachName } from '../each.ts';
import { integer, text } from '../flags/flag-spec.ts';
import type { ParsedFlags } from '../flags/parse-flags.ts';

const flags = {
  signal: text('Signal to send to the container', { shorthand: 's' }),
  timeout: integer('Seconds to wait before killing the container', { shorthand: 't' }),
  /** The flag's name before docker 28. */
  time: integer('Seconds to wait before killing the container', { hidden: true }),
};

function optionsOf({ values, given }: ParsedFlags<typeof flags>): StopOptions {
  const timeoutSeconds = given.has('timeout') ? values.timeout : given.has('time') ? values.time : undefined;
  return { signal: values.signal, timeoutSeconds };
}

export const stop = defineCommand({
  operands: 'CONTAINER [CONTAINER...]',
  count: [1, Infinity],
  flags,
  run: (context, input) =>
    forEachName(context, input.positionals, (name) => stopContainer(context.client(), name, optionsOf(input))),
});

export const restart = defineCommand({
  operands: 'CONTAINER [CONTAINER...]',
  count: [1, Infinity],
  flags,
  run: (context, input) =>
    forEachName(context, input.positionals, (name) => restartContainer(context.client(), name, optionsOf(input))),
});
