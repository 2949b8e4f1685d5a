/** EST at the registry door: what HTTP and TLS tell goes to est.ts as plain data. It does its own authentication. */
import type { TLSSocket } from 'node:tls';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { EstAnswer, EstAsk } from '#common/contract/enrollment.ts';
import { estTargetOf } from '#common/contract/est-path.ts';
import { peerChain } from '#common/x509/peer-chain.ts';
import { refusal } from '../est/answers.ts';
import type { Est } from '../est/est.ts';
import { faultOf } from './problems.ts';

export const estRoutes = (est: Est) => (app: FastifyInstance) => {
  void app.register(async (scope) => {
    // Whatever its type, a body is a text here: est.ts says what it should be.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body));
    scope.setErrorHandler((error, _request, reply) => send(reply, refusal(faultOf(error))));
    scope.all(
      '/.well-known/est/*',
      { config: { permission: 'open' }, schema: { hide: true } },
      async (request, reply) => send(reply, await est.answer(askOf(request))),
    );
  });
};

const send = (reply: FastifyReply, { status, headers, body }: EstAnswer): FastifyReply =>
  reply.code(status).headers(headers).send(Buffer.from(body));

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
