//! What members are told of what happens to their group: G1 to G8 (ws.md §6.3).

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    group_object::{Columns, GroupObject},
    message_object::{GroupPart, MessageData, MessageObject, Redirect, SenderId},
};
use crate::{
    commands::group::ActiveGroup,
    events::{
        GroupEvent, GroupSummary, JoinContext, MessageId, Role, Timestamp, UserId, UserSummary, enc,
    },
};

/// A notice of a group.
pub struct Notice {
    /// Who gets it.
    pub audience: NoticeAudience,
    /// The message object, as JSON.
    pub object: String,
}

/// Who gets a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeAudience {
    /// The group's owner alone.
    Owner(UserId),
    /// All members.
    Members,
    /// All members, and those who have asked to become one.
    MembersAndApplicants,
}

/// The notice of an event, if it has one. The group is that after it, or the last of a dissolved one.
pub fn of(event: &GroupEvent, group: &ActiveGroup) -> Option<Notice> {
    use NoticeAudience::{Members, MembersAndApplicants, Owner};
    let about = About { group, summary: group.summary() };
    let (audience, object) = match event {
        GroupEvent::Created { owner, notice, at, .. } => {
            let text = format!("{}创建了一个群，大家可以开始聊天了", owner.name);
            (Members, about.notice(*notice, owner, &text, Columns::None, *at))
        }
        GroupEvent::Renamed { by, name, notice, at } => {
            let text = format!("群名称修改为：{name}");
            (Members, about.notice(*notice, by, &text, Columns::Names, *at))
        }
        GroupEvent::Announced { by, remark, notice, at } => {
            let text = format!("[公告] \n\n {remark}");
            (Members, about.notice(*notice, by, &text, Columns::Names, *at))
        }
        GroupEvent::Joined { entry, notice, at, .. } => {
            (Members, about.joined((*notice)?, entry, *at))
        }
        GroupEvent::Approved { user, icon, notice, at, .. } => {
            let text = format!("[{}] 加入了群聊", user.name);
            (Members, about.admitted(*notice, (user.id, icon), &text, about.rows(), *at))
        }
        GroupEvent::Applied { entry, text, owner, notice, at, .. } => {
            (Owner(owner.id), about.application(*notice, entry, text, owner, *at))
        }
        GroupEvent::Dissolved { by, roster, notice, at } => {
            let text = format!("群主于 {} 解散了该群", at.row_text());
            let everybody = MembersAndApplicants;
            (everybody, about.notice(*notice, by, &text, Columns::RowsAndUsers(roster), *at))
        }
        GroupEvent::Left { by, roster, notice, at } => {
            let text = format!("{}于 {} 已退出群聊", by.name, at.row_text());
            let owner = Owner(group.row.owner);
            (owner, about.notice(*notice, by, &text, Columns::RowsAndUsers(roster), *at))
        }
        GroupEvent::PolicySet { .. }
        | GroupEvent::Refused { .. }
        | GroupEvent::MemberRemoved { .. }
        | GroupEvent::NicknameSet { .. } => return None,
    };
    Some(Notice { audience, object })
}

/// What the page on which an owner decides needs to know.
#[derive(Serialize)]
struct Application<'a> {
    #[serde(rename = "addGroupUserType")]
    way: &'static str,
    #[serde(rename = "inviteUser")]
    inviter: &'a str,
    #[serde(rename = "addGroupTime")]
    at: Timestamp,
    #[serde(rename = "addGroupDesc")]
    text: &'a str,
    #[serde(rename = "addGroupUserRole")]
    role: Role,
    #[serde(rename = "msgidKey")]
    key: &'a str,
}

struct About<'a> {
    group: &'a ActiveGroup,
    summary: GroupSummary,
}

impl About<'_> {
    /// From the person who did it.
    fn notice(
        &self,
        id: MessageId,
        from: &UserSummary,
        text: &str,
        columns: Columns<'_>,
        at: Timestamp,
    ) -> String {
        let mut object = MessageObject::in_group(id, from, &self.summary, at);
        object.data = MessageData::server(text);
        object.group = Some(GroupPart::Of(Box::new(GroupObject::of(self.group, columns))));
        object.json()
    }

    fn rows(&self) -> GroupObject<'_> {
        GroupObject::of(self.group, Columns::Rows)
    }

    fn with_roster<'a>(&'a self, entry: &'a JoinContext) -> GroupObject<'a> {
        GroupObject::of(self.group, Columns::Faces(&entry.roster)).with_owner(&entry.owner)
    }

    /// The key of everything about somebody's entrance.
    fn key(&self, user: UserId, at: Timestamp) -> String {
        format!("redirect-applyAddGroup{}-{user}-{}", self.summary.id, at.0)
    }

    /// G4.
    fn joined(&self, id: MessageId, entry: &JoinContext, at: Timestamp) -> String {
        let text = format!("{}[{}] 加入了群聊", inviter_part(entry), entry.user.name);
        self.admitted(id, (entry.user.id, &entry.icon), &text, self.with_roster(entry), at)
    }

    /// G4 and G5: from nobody, about somebody who is in now.
    fn admitted(
        &self,
        id: MessageId,
        (user, icon): (UserId, &str),
        text: &str,
        group: GroupObject<'_>,
        at: Timestamp,
    ) -> String {
        let key = self.key(user, at);
        let from =
            UserSummary { id: user, name: "加群申请提醒".into(), avatar: icon.to_owned() };
        let mut object = MessageObject::in_group(id, &from, &self.summary, at);
        object.from_id = SenderId::Page(&key);
        object.data = MessageData::server(text);
        object.group = Some(GroupPart::Of(Box::new(group)));
        object.json()
    }

    /// G6: an entry in the owner's list that opens the page on which they decide.
    fn application(
        &self,
        id: MessageId,
        entry: &JoinContext,
        text: &str,
        owner: &UserSummary,
        at: Timestamp,
    ) -> String {
        let (user, group) = (&entry.user, &self.summary);
        let key = self.key(user.id, at);
        let by_others = entry.inviter.is_some();
        let application = Application {
            way: if by_others { "邀请进群" } else { "用户自主进群" },
            inviter: entry.inviter.as_ref().map_or("", |inviter| &inviter.name),
            at,
            text,
            role: user.role,
            key: &key,
        };
        let desc = serde_json::to_string(&application).expect("plain data");
        let url = format!(
            "/pages/setpageInfo/setpageInfo?action=applyAddGroup&title={}&id={}&name={}&avatar={}\
             &chatType=group&applyUserid={}&applyUsername={}&applyUseruuid={}&applyUseravatar={}\
             &applydesc={}",
            enc("加群申请"),
            group.id,
            enc(&group.name),
            enc(&group.avatar),
            user.id,
            enc(&user.name),
            user.uuid,
            enc(&user.avatar),
            enc(&desc)
        );
        let desc = RawValue::from_string(desc).expect("made as JSON above");
        let told =
            format!("请处理申请 {}[{}] 加入了群[{}]", inviter_part(entry), user.name, group.name);
        let from =
            UserSummary { id: user.id, name: "加群处理".into(), avatar: entry.icon.clone() };
        let mut object = MessageObject::page(id, (&key, &from), owner, &told, &url, at);
        object.redirect = Some(Some(Redirect { url: &url, verb: "navigateTo", desc: Some(&desc) }));
        object.group = Some(GroupPart::Of(Box::new(self.with_roster(entry))));
        object.json()
    }
}

/// `[six]邀请 `, or nothing for who came by themselves.
fn inviter_part(entry: &JoinContext) -> String {
    entry.inviter.as_ref().map_or_else(String::new, |inviter| format!("[{}]邀请 ", inviter.name))
}
