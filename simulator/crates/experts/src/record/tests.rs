//! Tables and dumps, and what is refused.

use super::*;

const TOKENS: &str = "# source\ntask,seq,pos,layer,e0,e1\n\
    law,0,0,1,0,1\nlaw,0,0,2,2,1\nlaw,0,1,1,0,2\nlaw,0,1,2,2,0\nchat,0,0,1,1,2\nchat,0,0,2,1,2\n";

#[test]
fn tokens_are_counted_by_layer_part_and_half() {
    let recording = read(TOKENS).unwrap();
    let counts = |select| recording.counts(select);
    assert_eq!(counts(Some("law")), Ok(vec![vec![2, 1, 1], vec![1, 1, 2]]));
    assert_eq!(
        counts(Some("law/second-half")),
        Ok(vec![vec![1, 0, 1], vec![1, 0, 1]])
    );
    assert_eq!(counts(None), Ok(vec![vec![2, 2, 2], vec![1, 2, 3]]));
    let missing = counts(Some("lore")).unwrap_err().to_string();
    assert_eq!(missing, "nothing is called `lore`\n  = help: there are law, chat");
    let law = recording.part("law").unwrap();
    assert_eq!((law.num_tokens, &law.layer_numbers[..]), (2, &[1, 2][..]));
    assert_eq!(
        law.frames(1).unwrap(),
        [[[1, 1, 0], [0, 1, 1]], [[1, 0, 1], [1, 0, 1]]]
    );
    assert_eq!(law.frames(3), None);
}

#[test]
fn counts_are_taken_as_they_are() {
    let table =
        "model,domain,logged_layer_index,expert,count_topk\nm,arxiv,0,0,5\nm,arxiv,0,1,7\nn,code,0,2,9\n";
    let recording = read(table).unwrap();
    assert_eq!(recording.counts(Some("m/arxiv")), Ok(vec![vec![5, 7]]));
    assert_eq!(
        recording.counts(Some("m/arxiv/first-half")),
        Err(RecordError::NoHalves)
    );
    let steps = read("step,layer,expert,count\n7,0,0,1\n7,0,1,2\n9,0,1,3\n").unwrap();
    assert_eq!(steps.parts[0].steps, [[[1, 2]], [[0, 3]]]);
    let sglang = read("layer_id,expert_id,count\n0,0,4\n0,1,6\n").unwrap();
    assert_eq!(sglang.counts(None), Ok(vec![vec![4, 6]]));
}

#[test]
fn dumps_of_serving_stacks_are_read() {
    let sglang = read(r#"{"rank": 0, "logical_count": [[[1, 2], [3, 0]], [[0, 1], [1, 0]]]}"#).unwrap();
    assert_eq!(sglang.parts[0].steps.len(), 2);
    assert_eq!(sglang.counts(None), Ok(vec![vec![1, 3], vec![4, 0]]));
    let window = read(r#"{"expert_load": [[1.0, 2.0]]}"#).unwrap();
    assert_eq!(window.counts(None), Ok(vec![vec![1, 2]]));
    let routed = read(
        r#"{"prompt_routed_experts": [[[0, 1]], [[1, 2]]], "choices": [{"routed_experts": [[[2, 0]]]}]}"#,
    );
    let routed = routed.unwrap();
    assert_eq!(routed.counts(None), Ok(vec![vec![2, 2, 2]]));
    assert_eq!(routed.parts[0].num_tokens, 3);
    assert_eq!(routed.parts[0].frames(2).unwrap(), [[[1, 2, 1]]]);
}

#[test]
fn what_is_no_recording_is_refused_with_a_remedy() {
    let refused = |text: &str| read(text).unwrap_err().to_string();
    assert!(refused("layer,count\n1,2\n").contains("no column `expert` and `count`, or `e0`"));
    assert!(refused("layer,expert,count\n1,x,2\n").starts_with("line 2: `x` is no whole number"));
    assert!(refused("{\"other\": 1}").contains("logical_count"));
    assert!(refused("{\"logical_count\": [1]}").contains("nested 1 deep"));
    assert!(refused("layer,expert,count\n").starts_with("nothing is recorded"));
    assert_eq!(
        refuse(b"PK\x03\x04 a zip of torch.save"),
        Some(RecordError::PyTorch)
    );
    assert!(RecordError::PyTorch.to_string().contains("weights_only=True"));
    assert_eq!(refuse(b"PAR1"), Some(RecordError::Parquet));
    assert_eq!(refuse(b"layer,expert"), None);
}

#[test]
fn a_trace_is_refused_with_the_way_to_its_loads() {
    let said = read(r#"{"traceEvents": []}"#).unwrap_err().to_string();
    assert!(
        said.contains("import kineto") && said.contains("expert-load.csv"),
        "{said}"
    );
}
