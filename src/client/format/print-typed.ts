/** One answer by a template; what was printed before the template failed is ended with its line, as docker does. */
import type { CommandContext } from '../command.ts';
import { parseTemplate, renderTyped, type Typed } from './template.ts';

export function printTyped(context: CommandContext, format: string, value: unknown, typed: Typed): void {
  const template = parseTemplate(format);
  let text = '';
  try {
    text = renderTyped(template, value, typed);
  } finally {
    context.io.out(`${text}\n`);
  }
}
