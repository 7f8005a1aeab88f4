// One small language model on one thread: a question a line on stdin, its answer a line on stdout.
//   node real_model.mjs MODEL.gguf        with NODE_PATH's or the working folder's node-llama-cpp
import {createInterface} from "node:readline";
import {createRequire} from "node:module";
import {pathToFileURL} from "node:url";

const require = createRequire(`${process.cwd()}/`);
const {getLlama, LlamaGrammarEvaluationState} = await import(pathToFileURL(require.resolve("node-llama-cpp")));
const llama = await getLlama({gpu: false, maxThreads: 1, build: "never", logLevel: "error"});
const model = await llama.loadModel({modelPath: process.argv[2]});
const context = await model.createContext({contextSize: 4096, threads: 1, batchSize: 512});
const sequence = context.getSequence();
const chat = (messages) => messages.map((m) => `<|im_start|>${m.role}\n${m.content}<|im_end|>\n`).join("") + "<|im_start|>assistant\n";

async function answer({messages, format, options}) {
    const asked = model.tokenize(chat(messages), true), grammar = await llama.createGrammarForJsonSchema(format);
    await sequence.clearHistory();
    const out = [], started = performance.now();
    let first = null, reason = "stop";
    for await (const token of sequence.evaluate(asked, {
        seed: options.seed, temperature: options.temperature, topK: 40, topP: options.top_p,
        grammarEvaluationState: new LlamaGrammarEvaluationState({model, grammar}),
        repeatPenalty: {penalty: 1.1, maxPunishTokens: 64, punishTokens: () => out.slice(-64)}
    })) {
        first ??= performance.now();
        out.push(token);
        if (out.length >= options.num_predict) { reason = "length"; break; }
    }
    const end = performance.now();
    first ??= end;
    return {content: model.detokenize(out), done_reason: reason, stats: {
        prompt_eval_count: asked.length, prompt_eval_duration: Math.round((first - started) * 1e6),
        eval_count: out.length, eval_duration: Math.round((end - first) * 1e6)}};
}

process.stdout.write("ready\n");
for await (const line of createInterface({input: process.stdin})) {
    let said;
    try { said = await answer(JSON.parse(line)); } catch (error) { said = {error: String(error)}; }
    process.stdout.write(JSON.stringify(said) + "\n");
}
