export { api, onUnauthenticated, reportUnauthenticated, send, unwrap } from './client';
export { ApiError, type InputProblem } from './error';
export type * from './contract';
