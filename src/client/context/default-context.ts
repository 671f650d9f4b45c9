/** The context that is no entry of the store: what flags and variables say. */
export const DEFAULT_CONTEXT = 'default';
