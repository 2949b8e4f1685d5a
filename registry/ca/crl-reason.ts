/** CRLReason (RFC 5280, section 5.3.1): the code of each word. */

/** 0 is what no reason means, and is then left out; 7 is not used; 8 belongs to delta CRLs. */
export const reasonCodes = {
  unspecified: 0,
  keyCompromise: 1,
  cACompromise: 2,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  certificateHold: 6,
  privilegeWithdrawn: 9,
  aACompromise: 10,
} as const satisfies Record<string, number>;

/** The code to be written; null where there is nothing to write: no reason, `unspecified`, or a word of the house. */
export function reasonCodeOf(word: string | null): number | null {
  if (word === null || !Object.hasOwn(reasonCodes, word)) return null;
  return reasonCodes[word as keyof typeof reasonCodes] || null;
}
