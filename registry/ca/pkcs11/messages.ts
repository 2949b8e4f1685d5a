/** What the main thread and the thread of a token say to each other. */

export interface TokenSetup {
  readonly module: string;
  readonly tokenLabel: string;
  readonly keyLabel: string;
  readonly pinFile: string;
}

export type ToToken = { readonly id: number; readonly sign: Uint8Array } | { readonly close: true };

export type FromToken =
  /** SubjectPublicKeyInfo in DER. */
  | { readonly ready: Uint8Array }
  | { readonly id: number; readonly signature: Uint8Array }
  /** A sentence for an operator; without an id the token could not be opened. */
  | { readonly id?: number; readonly refused: string; readonly cause: string };
