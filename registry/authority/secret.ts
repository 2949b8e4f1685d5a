/** Tokens as they are handed out and as they are kept: 256 random bits once, a SHA-256 of them ever after. */
import { hash, randomBytes } from 'node:crypto';

/** A new secret with a prefix that tells scanners and people what it is. */
export const makeSecret = (prefix: 'fge' | 'fga'): string =>
  `${prefix}_${randomBytes(32).toString('base64url')}`;

/** What is stored of it. The secret has 256 bits of entropy: a plain hash is enough. */
export const hashSecret = (secret: string): string => hash('sha256', secret, 'hex');

/** A short random name for a row. */
export const makeId = (): string =>
  randomBytes(9).toString('base64url').replaceAll('_', 'a').replaceAll('-', 'b');
