/** Keys of kept contexts: what a client says, and what is known of one that says nothing. */

/** Of clients that keep account of what they have sent. */
export const keptKey = (key: string): string => `client\0${key}`;

/** Of a tar: builds of the same repository by the same Dockerfile mostly have the same files. */
export const tarKey = (repository: string, dockerfile: string): string => `tar\0${repository}\0${dockerfile}`;

/**
 * Of a directory that a client's session shares. Clients say the same of directories of the same name; a build of it is
 * mostly the same build again.
 */
export const sessionKey = (sharedKey: string, name: string, build: readonly string[]): string =>
  `session\0${JSON.stringify([sharedKey, name, ...build])}`;
