/** Asks OCSP responders of foreign CAs by HTTP (RFC 6960, appendix A): bounded, and not again at once where nobody answered. */
import { LRUCache } from 'lru-cache';
import { request } from 'undici';
import type { Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { Certificate } from '#common/x509/certificate.ts';
import { gather } from './crl-source.ts';
import { type OcspStatus, readOcspAnswer } from './ocsp-answer.ts';
import { ocspRequest } from './ocsp-request.ts';

export interface OcspRespondersOptions {
  timeoutMs: number;
  clock: Clock;
}

const maxAnswerBytes = 64 * 1024;
const mostUnderWay = 100;
/** A responder that did not answer is left alone for so long: a thousand devices do not wait for it one by one. */
const pauseMs = 2_000;

export class OcspResponders {
  readonly #options: OcspRespondersOptions;
  readonly #silent = new LRUCache<string, number>({ max: 1000 });
  #underWay = 0;

  constructor(options: OcspRespondersOptions) {
    this.#options = options;
  }

  /** Never rejects: silence is `unknown`. */
  async ask(leaf: Certificate, issuer: Certificate, url: string): Promise<OcspStatus> {
    const { clock } = this.#options;
    if ((this.#silent.get(url) ?? 0) > clock.elapsed())
      return unknown('its responder did not answer a moment ago');
    if (this.#underWay >= mostUnderWay) return unknown('too many responders are being asked');
    const { request: question, certId } = ocspRequest(leaf, issuer);
    this.#underWay += 1;
    try {
      return readOcspAnswer(await this.#post(url, question), certId, issuer, clock.now());
    } catch (thrown) {
      this.#silent.set(url, clock.elapsed() + pauseMs);
      return unknown(`its responder cannot be asked (${Fault.of(thrown).message})`);
    } finally {
      this.#underWay -= 1;
    }
  }

  async #post(url: string, body: Buffer): Promise<Buffer> {
    const headers = { 'content-type': 'application/ocsp-request' };
    const signal = AbortSignal.timeout(this.#options.timeoutMs);
    try {
      const answer = await request(url, { method: 'POST', headers, body, signal });
      if (answer.statusCode === 200) return await gather(answer.body, maxAnswerBytes);
      await answer.body.dump({ limit: 16_384 });
      throw new Fault('unavailable', `it answered ${answer.statusCode}`);
    } catch (thrown) {
      throw thrown instanceof Fault
        ? thrown
        : new Fault('unavailable', (thrown as Error).message, { cause: thrown });
    }
  }
}

const unknown = (why: string): OcspStatus => ({ state: 'unknown', why });
