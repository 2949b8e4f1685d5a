/**
 * What devices ask of the registry through the HTTPS door: EST, for those who have no certificate yet too, and renewal.
 * It is bounded here and decided there; nothing of it is judged by this gateway.
 */
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '#common/clock.ts';
import type { AskRegistry, EstAnswer, IssuedCertificate } from '#common/contract/enrollment.ts';
import { estTargetOf } from '#common/contract/est-path.ts';
import { Fault } from '#common/fault.ts';
import { RateLimiter } from '#common/gcra.ts';
import type { Metrics } from '#common/metrics.ts';
import { peerChain } from '#common/x509/peer-chain.ts';
import { csrDer } from '#common/x509/pem.ts';
import { neighbourhood } from '../door/connect-limits.ts';
import type { HttpsSettings } from '../settings.ts';
import { readBody } from './body.ts';

export interface EnrollmentParts {
  ask: AskRegistry;
  settings: Pick<HttpsSettings, 'maxEnrollBody' | 'maxEnrollUnderway'>;
  /** Requests a second of one address; bursts of twice that pass. */
  ratePerAddress: number;
  metrics: Metrics;
  clock: Clock;
}

const busyRetryMs = 2_000;

export class Enrollment {
  readonly #parts: EnrollmentParts;
  readonly #rate: RateLimiter;
  #underway = 0;

  constructor(parts: EnrollmentParts) {
    const { ratePerAddress } = parts;
    this.#parts = parts;
    this.#rate = new RateLimiter({ perSecond: ratePerAddress, burst: ratePerAddress * 2 });
  }

  /**
   * The registry's answer, its refusals among them. `host` is where the request comes from. Faults `not-found`, `method-not-allowed`, `rate-limited`, `too-large`,
   * `unavailable`.
   */
  async est(request: IncomingMessage, host: string): Promise<EstAnswer> {
    const { ask, settings } = this.#parts;
    const { method = '', url = '', headers } = request;
    const target = estTargetOf(method, url.split('?', 1)[0]!);
    const chain = chainOf(request);
    try {
      this.#judgeRate(host);
      const body = (await readBody(request, settings.maxEnrollBody)).toString('latin1');
      return await this.#bounded(() =>
        ask('est', {
          ...target,
          authorization: headers.authorization ?? null,
          chain,
          contentType: headers['content-type'] ?? null,
          body,
          address: host,
        }),
      );
    } catch (thrown) {
      const { kind } = Fault.of(thrown);
      if (method === 'POST') this.#parts.metrics.enrollmentsTotal.inc({ result: 'refused', reason: kind });
      throw thrown;
    }
  }

  /** `{"csr": <PEM>}`, of a device that was admitted. Faults as the registry does, and as `est`; `csr-malformed`. */
  async renew(request: IncomingMessage, host: string): Promise<IssuedCertificate> {
    const { ask, settings, metrics } = this.#parts;
    const chain = chainOf(request);
    let isHeard = false;
    try {
      this.#judgeRate(host);
      const csr = csrIn((await readBody(request, settings.maxEnrollBody)).toString('utf8'));
      return await this.#bounded(() => {
        isHeard = true;
        return ask('renew', { chain, csr: csr.toString('base64') });
      });
    } catch (thrown) {
      const { kind } = Fault.of(thrown);
      // The registry counts what it has heard.
      if (!isHeard || kind === 'unavailable') metrics.renewalsTotal.inc({ result: 'refused', reason: kind });
      throw thrown;
    }
  }

  #judgeRate(address: string): void {
    const { clock } = this.#parts;
    const { allowed, retryAfterMs } = this.#rate.take(neighbourhood(address), clock.elapsed());
    if (!allowed)
      throw new Fault('rate-limited', 'Too many enrollments from this address; slow down.', { retryAfterMs });
  }

  /** A place is taken only now that the body is here: who sends it slowly takes none from others. */
  async #bounded<T>(answer: () => Promise<T>): Promise<T> {
    if (this.#underway >= this.#parts.settings.maxEnrollUnderway) {
      throw new Fault('unavailable', 'As many enrollments as may be are under way; try again.', {
        retryAfterMs: busyRetryMs,
      });
    }
    this.#underway += 1;
    try {
      return await answer();
    } finally {
      this.#underway -= 1;
    }
  }
}

const chainOf = ({ socket }: IncomingMessage): string[] =>
  peerChain(socket as TLSSocket).map((each) => each.toString('base64'));

function csrIn(text: string): Buffer {
  let body: { csr?: unknown } | null;
  try {
    body = JSON.parse(text);
  } catch {
    throw new Fault('malformed', 'The body is not JSON.');
  }
  if (typeof body?.csr !== 'string') throw new Fault('malformed', 'The body is {"csr": <PKCS #10 in PEM>}.');
  return csrDer(body.csr);
}
