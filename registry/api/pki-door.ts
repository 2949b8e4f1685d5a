/**
 * The PKI door: plain HTTP, as is the custom for what is signed anyway. It serves the certificates of the CA and their
 * CRLs (RFC 5280, section 4.2.1.13), and OCSP over GET and POST (RFC 6960, appendix A; RFC 5019, section 5).
 */
import { X509Certificate } from 'node:crypto';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { type Clock, dateOf } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { Logger } from '#common/log.ts';
import type { OcspAnswer } from '../authority/ocsp-responder.ts';
import type { PublishedCrl } from '../ca/read-crl.ts';
import { listenOn } from './listen.ts';
import { answerProblem } from './problems.ts';

/** What the door serves; it is opened before there is any of it, since certificates carry its address. */
export interface PkiContent {
  /** PEM by name. */
  certificates(): Readonly<Record<string, string>>;
  /** By the name of the issuer. */
  crl(name: string): PublishedCrl | undefined;
  ocsp(request: Buffer): OcspAnswer;
}

export interface PkiDoorOptions {
  host: string;
  port: number;
  /** A socket that listens already: then `host` and `port` are not asked. */
  fd?: number;
  /** Longest OCSP request in bytes. */
  maxOcspRequest: number;
  content: PkiContent;
  clock: Clock;
  log: Logger;
}

/** For how long a cache may give a CRL without asking whether there is a newer one: a revocation renews it at once. */
const crlMaxAgeSeconds = 60;

export class PkiDoor implements AsyncDisposable {
  readonly port: number;
  readonly #app: FastifyInstance;

  private constructor(app: FastifyInstance, port: number) {
    this.#app = app;
    this.port = port;
  }

  static async open(options: PkiDoorOptions): Promise<PkiDoor> {
    const { host, port, fd, maxOcspRequest, log } = options;
    const app = fastify({ bodyLimit: maxOcspRequest, forceCloseConnections: true });
    app.setErrorHandler((error, request, reply) => answerProblem(log, error, request, reply));
    app.setNotFoundHandler((request, reply) => {
      const fault = refusalOf(request);
      if (fault.kind === 'method-not-allowed') reply.header('allow', 'GET, HEAD, POST');
      return answerProblem(log, fault, request, reply);
    });
    // Whatever it calls itself: what is no OCSP request is answered as such.
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
    addCertificates(app, options);
    addLists(app, options);
    addOcsp(app, options);
    const address = await app.listen(listenOn({ host, port, fd }));
    return new PkiDoor(app, Number(new URL(address).port));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#app.close();
  }
}

function refusalOf({ method, url }: FastifyRequest): Fault {
  if (!/^\/(ocsp|ca|crl)(\/|$)/.test(url)) return new Fault('not-found', `There is nothing at ${url}.`);
  return new Fault('method-not-allowed', `${method} is of no use here; GET it, or POST to /ocsp.`);
}

function addCertificates(app: FastifyInstance, { content }: PkiDoorOptions): void {
  app.get('/ca/:file', async (request, reply) => {
    const { file } = request.params as { file: string };
    const [, name = '', kind] = /^([\w.-]+)\.(cer|pem)$/.exec(file) ?? [];
    const certificates = content.certificates();
    const pem = Object.hasOwn(certificates, name) ? certificates[name] : undefined;
    if (pem === undefined) throw new Fault('not-found', `There is nothing at ${request.url}.`);
    reply.header('cache-control', 'public, max-age=3600');
    if (kind === 'pem') return reply.type('application/x-pem-file').send(pem);
    // RFC 5280, section 4.2.2.1: DER, application/pkix-cert.
    return reply.type('application/pkix-cert').send(new X509Certificate(pem).raw);
  });
}

function addLists(app: FastifyInstance, { content }: PkiDoorOptions): void {
  app.get('/crl/:file', async (request, reply) => {
    const { file } = request.params as { file: string };
    const [, name = ''] = /^([\w.-]+)\.crl$/.exec(file) ?? [];
    const crl = content.crl(name);
    if (!crl) {
      if (Object.hasOwn(content.certificates(), name) && name !== 'root')
        throw new Fault('unavailable', 'The first CRL is being signed.', { retryAfterMs: 1000 });
      throw new Fault('not-found', `There is nothing at ${request.url}.`);
    }
    const tag = `"${crl.number}"`;
    reply.headers({
      'cache-control': `public, max-age=${crlMaxAgeSeconds}, must-revalidate`,
      etag: tag,
      'last-modified': httpDate(crl.thisUpdateMs),
    });
    if (isKnown(request, tag)) return reply.code(304).send();
    return reply.type('application/pkix-crl').send(crl.der);
  });
}

function addOcsp(app: FastifyInstance, { content, maxOcspRequest, clock }: PkiDoorOptions): void {
  const answer = (request: FastifyRequest, reply: FastifyReply, der: Buffer) => {
    const { der: response, keep } = content.ocsp(der);
    reply.type('application/ocsp-response');
    if (!keep) return reply.header('cache-control', 'no-store').send(response);
    // RFC 5019, section 6.2. Age is counted from now: a cache must not hold what is not given any more.
    const maxAge = Math.max(0, Math.floor((keep.freshUntilMs - clock.now()) / 1000));
    reply.headers({
      'cache-control': `max-age=${maxAge}, public, no-transform, must-revalidate`,
      expires: httpDate(keep.nextUpdateMs),
      'last-modified': httpDate(keep.thisUpdateMs),
      etag: `"${keep.tag}"`,
    });
    if (request.method === 'GET' && isKnown(request, `"${keep.tag}"`)) return reply.code(304).send();
    return reply.send(response);
  };
  app.post('/ocsp', async (request, reply) =>
    answer(request, reply, request.body instanceof Buffer ? request.body : nothing),
  );
  app.get('/ocsp/*', async (request, reply) => answer(request, reply, fromPath(request.url, maxOcspRequest)));
}

const nothing = Buffer.alloc(0);

/**
 * The request behind `/ocsp/`: base64, then percent-encoded, once. Taken from the URL as it came, since `/` and `+` are
 * letters of base64 which some clients send as they are. Nothing, which no request is, when it is not base64.
 */
function fromPath(url: string, limit: number): Buffer {
  const path = url.slice('/ocsp/'.length);
  // Every letter may be percent-encoded.
  if (path.length > limit * 4) return nothing;
  try {
    const base64 = decodeURIComponent(path);
    const der = /^[A-Za-z0-9+/]+={0,2}$/.test(base64) ? Buffer.from(base64, 'base64') : nothing;
    return der.length > limit ? nothing : der;
  } catch {
    return nothing;
  }
}

/** Whether the client has this version already (RFC 9110, section 13.1.2). */
const isKnown = ({ headers }: FastifyRequest, tag: string): boolean =>
  (headers['if-none-match'] ?? '').split(',').some((each) => each.trim().replace(/^W\//, '') === tag);

const httpDate = (epochMs: number): string => dateOf(epochMs).toUTCString();
