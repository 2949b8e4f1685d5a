/**
 * The OCSP answer about this gateway's own door certificate, to be stapled into handshakes (RFC 6066, section 8): asked
 * of the registry over the process line, and again when half its life is over or the certificate was renewed.
 */
import { X509Certificate } from 'node:crypto';
import { backoffMs } from '#common/backoff.ts';
import type { Cancel, Clock } from '#common/clock.ts';
import type { AskRegistry } from '#common/contract/enrollment.ts';
import type { DoorCertificateSource } from '#common/contract/line.ts';
import { Fault } from '#common/fault.ts';
import type { Logger } from '#common/log.ts';

export interface DoorStapleOptions {
  doors: Pick<DoorCertificateSource, 'current' | 'onRenewed'>;
  ask: AskRegistry;
  clock: Clock;
  log: Logger;
}

const retry = { firstMs: 5_000, limitMs: 600_000 };
/** Shortest pause between two questions, whatever the registry says. */
const shortestMs = 1_000;

export class DoorStaple implements Disposable {
  readonly #options: DoorStapleOptions;
  #answer: { readonly response: Buffer; readonly endsAtMs: number } | null = null;
  #attempt = 0;
  /** Counts renewals: an answer that was asked for before is of another certificate. */
  #generation = 0;
  #cancel: Cancel = () => {};
  readonly #stopRenewing: () => void;

  constructor(options: DoorStapleOptions) {
    this.#options = options;
    this.#stopRenewing = options.doors.onRenewed(() => {
      this.#generation += 1;
      this.#answer = null;
      this.#cancel();
      void this.#ask(this.#generation);
    });
    void this.#ask(this.#generation);
  }

  /** Null while there is none that still holds: a handshake goes on without. */
  get current(): Buffer | null {
    const answer = this.#answer;
    return answer && answer.endsAtMs > this.#options.clock.now() ? answer.response : null;
  }

  async #ask(generation: number): Promise<void> {
    const { doors, ask, clock, log } = this.#options;
    let delayMs: number;
    try {
      const certificate = new X509Certificate(doors.current.chain).raw.toString('base64');
      const answer = await ask('staple', { certificate });
      if (generation !== this.#generation) return;
      this.#answer = { response: Buffer.from(answer.response, 'base64'), endsAtMs: answer.endsAtMs };
      this.#attempt = 0;
      delayMs = Math.max(answer.freshUntilMs - clock.now(), shortestMs);
    } catch (thrown) {
      if (generation !== this.#generation) return;
      this.#attempt += 1;
      delayMs = backoffMs(retry, this.#attempt);
      log.debug({ fault: Fault.of(thrown).message }, 'There is no newer OCSP answer for the doors yet.');
    }
    this.#cancel = clock.after(delayMs, () => void this.#ask(generation));
  }

  [Symbol.dispose](): void {
    this.#generation += 1;
    this.#stopRenewing();
    this.#cancel();
  }
}
