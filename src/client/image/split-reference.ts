/** `host:5000/name:tag` → repository and tag. Whether they are well formed is the daemon's to say. */

export function splitReference(text: string): { readonly repository: string; readonly tag: string } {
  const at = text.indexOf('@');
  if (at >= 0) return { repository: text.slice(0, at), tag: text.slice(at + 1) };
  const colon = text.indexOf(':', text.lastIndexOf('/') + 1);
  return colon < 0 ? { repository: text, tag: '' } : { repository: text.slice(0, colon), tag: text.slice(colon + 1) };
}
