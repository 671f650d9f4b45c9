/** Names of images that a command hands to the daemon in parts. */
import { parseReference } from '#reference/reference.ts';
import { ExitError } from '../command.ts';

/** @throws {ExitError} with the words of what is wrong with the name, after `complaint` */
export function wellFormed(text: string, complaint = ''): void {
  try {
    parseReference(text);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new ExitError(1, complaint === '' ? error.message : `${complaint}: ${error.message}`);
  }
}

/** `host:5000/name:tag` → repository and tag. */
export function splitReference(text: string): { readonly repository: string; readonly tag: string } {
  const at = text.indexOf('@');
  if (at >= 0) return { repository: text.slice(0, at), tag: text.slice(at + 1) };
  const colon = text.indexOf(':', text.lastIndexOf('/') + 1);
  return colon < 0 ? { repository: text, tag: '' } : { repository: text.slice(0, colon), tag: text.slice(colon + 1) };
}
