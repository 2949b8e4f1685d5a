/** Every error of the registry door as a problem document, fastify's own included. */
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { Fault, type FaultKind } from '#common/fault.ts';
import { problemHeaders, problemOf } from '#common/http/problem.ts';
import type { Logger } from '#common/log.ts';

const kindOfStatus: Record<number, FaultKind> = {
  400: 'malformed',
  404: 'not-found',
  405: 'method-not-allowed',
  413: 'too-large',
  415: 'unsupported-media-type',
};

/** A Fault as it is; a refusal by fastify with its own sentence; anything else `internal`. */
export function faultOf(error: unknown): Fault {
  if (error instanceof Fault) return error;
  const { statusCode, message, validation } = error as Partial<FastifyError>;
  if (validation) {
    const errors = validation.map((each) => `${each.instancePath || '/'} ${each.message}`);
    return new Fault('malformed', `The request does not fit the schema: ${message}.`, { fields: { errors } });
  }
  const kind = statusCode === undefined ? undefined : kindOfStatus[statusCode];
  return kind ? new Fault(kind, `${message}.`) : Fault.of(error);
}

export function answerProblem(
  log: Logger,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const fault = faultOf(error);
  if (fault.kind === 'internal')
    log.error({ error: fault.cause, url: request.url }, 'A request failed inside.');
  const problem = problemOf(fault);
  return reply.code(problem.status).headers(problemHeaders(fault)).send(JSON.stringify(problem));
}
