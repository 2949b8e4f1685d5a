/**
 * Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): a write that is sent again with the same key and body
 * gets the first answer again. Answers are sealed with the key itself, so that a token in one is no secret at rest.
 */
import { createCipheriv, createDecipheriv, hash, randomBytes } from 'node:crypto';
import type { Kysely } from 'kysely';
import type { Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { Tables } from '../store/tables.ts';
import type { Writer } from '../store/writer.ts';

export interface KeptAnswer {
  readonly status: number;
  readonly body: string;
}

/** A key in use: `begin` gives it, `keep` or `forget` ends it. */
export interface Claim {
  readonly keyHash: string;
  readonly seal: Buffer;
  readonly request: string;
}

export class Answers {
  readonly #read: Kysely<Tables>;
  readonly #writer: Writer;
  readonly #clock: Clock;
  readonly #ttlMs: number;
  readonly #underWay = new Set<string>();

  constructor(parts: { read: Kysely<Tables>; writer: Writer; clock: Clock; ttlMs: number }) {
    this.#read = parts.read;
    this.#writer = parts.writer;
    this.#clock = parts.clock;
    this.#ttlMs = parts.ttlMs;
  }

  /**
   * The kept answer, or the claim to make one. Faults `conflict` when the key was used for another request, or when the
   * first request is still under way.
   */
  async begin(caller: string, key: string, request: string): Promise<KeptAnswer | Claim> {
    const keyHash = hash('sha256', JSON.stringify(['key', caller, key]), 'hex');
    const seal = Buffer.from(hash('sha256', JSON.stringify(['seal', caller, key]), 'hex'), 'hex');
    const claim = { keyHash, seal, request: hash('sha256', request, 'hex') };
    if (this.#underWay.has(keyHash)) {
      throw new Fault('conflict', 'A request with this Idempotency-Key is still under way.', {
        retryAfterMs: 1000,
      });
    }
    this.#underWay.add(keyHash);
    try {
      const row = await this.#read
        .selectFrom('answers')
        .selectAll()
        .where('key_hash', '=', keyHash)
        .where('expires_ms', '>', this.#clock.now())
        .executeTakeFirst();
      if (!row) return claim;
      if (row.request !== claim.request) {
        throw new Fault('conflict', 'This Idempotency-Key was used for another request; take a new one.');
      }
      this.#underWay.delete(keyHash);
      return { status: row.status, body: open(row.body, seal) };
    } catch (thrown) {
      this.#underWay.delete(keyHash);
      throw thrown;
    }
  }

  async keep({ keyHash, seal, request }: Claim, answer: KeptAnswer): Promise<void> {
    const nowMs = this.#clock.now();
    const row = {
      key_hash: keyHash,
      request,
      status: answer.status,
      body: close(answer.body, seal),
      expires_ms: nowMs + this.#ttlMs,
    };
    try {
      await this.#writer.write(async (write) => {
        await write.deleteFrom('answers').where('expires_ms', '<', nowMs).execute();
        await write.replaceInto('answers').values(row).execute();
      });
    } finally {
      this.#underWay.delete(keyHash);
    }
  }

  forget({ keyHash }: Claim): void {
    this.#underWay.delete(keyHash);
  }
}

const nonceBytes = 12;
const tagBytes = 16;

function close(text: string, key: Buffer): Buffer {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), sealed]);
}

function open(sealed: Buffer, key: Buffer): string {
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, nonceBytes));
  decipher.setAuthTag(sealed.subarray(nonceBytes, nonceBytes + tagBytes));
  return decipher.update(sealed.subarray(nonceBytes + tagBytes), undefined, 'utf8') + decipher.final('utf8');
}
