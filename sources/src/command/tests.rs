use pipeline::Kind;

use super::*;
use crate::testing::{context, read};

async fn run(mut source: CommandSource) -> (Result<()>, bytes::Bytes, Context) {
    let (cx, _, _) = context();
    source.probe(&cx).await.unwrap();
    let part = source.next_part(&cx).await.unwrap().unwrap();
    assert!(source.next_part(&cx).await.unwrap().is_none());
    assert!(part.path.is_none());
    let (result, output) = read(part.reader, &cx).await;
    (result, output, cx)
}

#[tokio::test]
async fn a_line_is_for_the_shell() {
    let (result, output, cx) = run(CommandSource::shell("x=$((6*7)); echo $x | tr -d '\\n'").unwrap()).await;
    result.unwrap();
    assert_eq!(output, "42");
    assert!(cx.warnings().is_empty());
}

#[tokio::test]
async fn a_failure_inside_a_pipe_is_a_failure() {
    let (result, output, _) = run(CommandSource::shell("(echo half; exit 9) | cat").unwrap()).await;
    let error = result.unwrap_err();
    assert_eq!(output, "half\n");
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("exit status 9"), "{error}");
}

#[tokio::test]
async fn arguments_go_without_a_shell() {
    let argv = ["printf", "%s|", "a b", "$HOME", "*"].map(OsString::from).to_vec();
    let (result, output, _) = run(CommandSource::argv(argv).unwrap()).await;
    result.unwrap();
    assert_eq!(output, "a b|$HOME|*|");
}

#[tokio::test]
async fn nothing_is_not_success_unless_allowed() {
    let source = CommandSource::shell("true").unwrap();
    let (result, _, _) = run(source.clone()).await;
    let error = result.unwrap_err();
    assert_eq!((error.exit_code(), error.kind()), (3, Kind::Failed));
    run(source.allow_empty(true)).await.0.unwrap();
}

#[tokio::test]
async fn a_missing_program_is_found_out_before_anything_runs() {
    let (cx, _, _) = context();
    let error =
        CommandSource::argv(vec!["no-such-program-here".into()]).unwrap().probe(&cx).await.unwrap_err();
    assert_eq!(error.exit_code(), 3);
}

#[test]
fn only_the_name_of_the_program_is_shown() {
    for line in [
        "MYSQL_PWD=Hunter2 mysqldump -pHunter2 db",
        "PGPASSWORD='Hunter2' /usr/bin/mysqldump --password=Hunter2",
        "( mysqldump -u root -pHunter2 )",
    ] {
        let source = CommandSource::shell(line).unwrap();
        assert!(!source.endpoint().contains("Hunter2"), "{}", source.endpoint());
    }
    let source =
        CommandSource::argv(vec!["/opt/bin/kubectl".into(), "exec".into(), "Hunter2".into()]).unwrap();
    assert_eq!(source.endpoint(), "cmd:kubectl …");
    assert_eq!(CommandSource::shell("  ").unwrap_err().exit_code(), 2);
    assert_eq!(CommandSource::argv(vec![]).unwrap_err().exit_code(), 2);
}
