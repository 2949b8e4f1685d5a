/** The PKI door: plain HTTP, as is the custom for what is signed anyway. It serves the CA certificates. */

import { X509Certificate } from 'node:crypto';
import fastify, { type FastifyInstance } from 'fastify';
import { Fault } from '#common/fault.ts';
import type { Logger } from '#common/log.ts';
import { answerProblem } from './problems.ts';

export class PkiDoor implements AsyncDisposable {
  readonly port: number;
  readonly #app: FastifyInstance;

  private constructor(app: FastifyInstance, port: number) {
    this.#app = app;
    this.port = port;
  }

  /** `certificates`: PEM by name. The door opens before there are any, since they carry its address. */
  static async open(
    host: string,
    port: number,
    certificates: () => Record<string, string>,
    log: Logger,
  ): Promise<PkiDoor> {
    const app = fastify({ bodyLimit: 1024, forceCloseConnections: true });
    const nothing = (url: string) => new Fault('not-found', `There is nothing at ${url}.`);
    app.setErrorHandler((error, request, reply) => answerProblem(log, error, request, reply));
    app.setNotFoundHandler((request, reply) => answerProblem(log, nothing(request.url), request, reply));
    app.get('/ca/:file', async (request, reply) => {
      const [, name, kind] = /^([a-z]+)\.(cer|pem)$/.exec((request.params as { file: string }).file) ?? [];
      const pem = name === undefined ? undefined : certificates()[name];
      if (pem === undefined) throw nothing(request.url);
      reply.header('cache-control', 'public, max-age=3600');
      if (kind === 'pem') return reply.type('application/x-pem-file').send(pem);
      // RFC 5280, section 4.2.2.1: DER, application/pkix-cert.
      return reply.type('application/pkix-cert').send(new X509Certificate(pem).raw);
    });
    const address = await app.listen({ host, port });
    return new PkiDoor(app, Number(new URL(address).port));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#app.close();
  }
}
