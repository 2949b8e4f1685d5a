/** EST at the registry door: what HTTP and TLS tell goes to est.ts as plain data. It does its own authentication. */
import type { TLSSocket } from 'node:tls';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { EstAsk } from '#common/contract/enrollment.ts';
import { estTargetOf } from '#common/contract/est-path.ts';
import { peerChain } from '#common/x509/peer-chain.ts';
import type { Est } from '../est/est.ts';

export const estRoutes = (est: Est) => (app: FastifyInstance) => {
  void app.register(async (scope) => {
    // Whatever its type, a body is a text here: est.ts says what it should be.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body));
    scope.all(
      '/.well-known/est/*',
      { config: { permission: 'open' }, schema: { hide: true } },
      async (request, reply) => {
        const { status, headers, body } = await est.answer(askOf(request));
        return reply.code(status).headers(headers).send(Buffer.from(body));
      },
    );
  });
};

/** Faults as estTargetOf does. */
function askOf({ method, url, headers, body, raw, ip }: FastifyRequest): EstAsk {
  return {
    ...estTargetOf(method, url.split('?', 1)[0]!),
    authorization: headers.authorization ?? null,
    chain: peerChain(raw.socket as TLSSocket).map((each) => each.toString('base64')),
    contentType: headers['content-type'] ?? null,
    body: typeof body === 'string' ? body : '',
    address: ip,
  };
}
